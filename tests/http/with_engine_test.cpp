// The server in front of the real engine, with a pipeline that only simulates generation.
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <sstream>
#include <string>
#include <thread>

#include "core/base64.h"
#include "core/text.h"
#include "easel/image.h"
#include "easel/server.h"
#include "http/support/raw_client.h"
#include "http/support/running_server.h"
#include "support/fake_pipeline.h"

namespace easel::test {
namespace {

using namespace std::chrono_literals;
using easel::testing::fake_color;
using easel::testing::FakeCall;
using easel::testing::FakeCallKind;
using easel::testing::FakeFault;
using easel::testing::FakeOptions;
using easel::testing::FakeRecord;
using easel::testing::served_fake;

class Drawing {
 public:
  explicit Drawing(FakeOptions options, std::size_t max_waiting = 64, ServerOptions limits = {})
      : engine(
            make_engine({served_fake(std::move(options), record)}, {.max_waiting = max_waiting, .observer = metrics})),
        server(make_http_server(*engine, with_metrics(std::move(limits), max_waiting))),
        port(server->bind()),
        thread_([this] { server->run(); }) {}
  ~Drawing() { shut_down(); }

  /// What the program does on SIGTERM. @return whether every request ended before the timeout
  bool shut_down(std::chrono::milliseconds drain_timeout = std::chrono::milliseconds::max()) {
    server->begin_shutdown();
    const bool finished = engine->drain(drain_timeout);
    server->stop();
    if (thread_.joinable()) thread_.join();
    return finished;
  }
  Response draw(const std::string& body, const Fields& fields = {}) const {
    return RawClient(port).exchange(image_request(body, fields));
  }
  /// Waits until so many requests have ended in this way; false when they do not.
  bool ended(const std::string& outcome, int count) const {
    const auto line = concat("easel_requests_total{model=\"fake\",outcome=\"", outcome, "\"} ", count, "\n");
    return eventually([&] { return get("/metrics").body.find(line) != std::string::npos; });
  }
  Response get(const std::string& path) const { return RawClient(port).exchange(request_text("GET", path)); }

  ServerOptions with_metrics(ServerOptions limits, std::size_t max_waiting) const {
    limits.port = 0;
    limits.max_waiting = max_waiting + 1;
    limits.metrics = metrics;
    return limits;
  }

  const std::shared_ptr<FakeRecord> record = std::make_shared<FakeRecord>();
  const std::shared_ptr<ServerMetrics> metrics = make_metrics("1");
  const std::unique_ptr<Engine> engine;
  const std::unique_ptr<HttpServer> server;
  const int port;

 private:
  std::thread thread_;
};

std::string flat_image_base64(const std::string& prompt, std::uint64_t seed, int width, int height) {
  Image image{.width = width, .height = height, .pixels = {}};
  for (int i = 0; i < width * height; ++i) {
    for (const auto channel : fake_color(prompt, seed)) image.pixels.push_back(channel);
  }
  return base64_encode(encode_png(image));
}

TEST(WithEngine, ConcurrentRequestsGetTheirOwnImages) {
  Drawing drawing({.step_time = 200us});
  std::vector<std::future<void>> clients;
  for (int c = 0; c < 8; ++c) {
    clients.push_back(std::async(std::launch::async, [&drawing, c] {
      const auto prompt = concat("image of ", c);
      const auto seed = static_cast<std::uint64_t>(1000 + 10 * c);
      const auto answer =
          drawing.draw(concat(R"({"n":3,"size":"32x48","prompt":")", prompt, R"(","seed":)", seed, "}")).json();
      ASSERT_EQ(answer["data"].size(), 3u);
      EXPECT_EQ(answer["size"], "32x48");
      for (std::uint64_t i = 0; i < 3; ++i) {
        EXPECT_EQ(answer["data"][i]["b64_json"], flat_image_base64(prompt, seed + i, 32, 48));
        EXPECT_EQ(answer["data"][i]["seed"], seed + i);
      }
    }));
  }
  for (auto& client : clients) client.get();
  EXPECT_EQ(drawing.record->violations(), std::vector<std::string>{});
}

// Each image of 64 x 64 pixels is more than half of the memory, so that an account has one of them at a time.
TEST(WithEngine, EditsWaitForTheMemoryOfDecodedImages) {
  std::promise<void> release;
  const auto released = release.get_future().share();
  Drawing drawing({.on_call =
                       [released](const FakeCall& call) {
                         if (call.kind == FakeCallKind::kBegin) released.wait();
                       }},
                  /*max_waiting=*/64, {.max_body_bytes = 4096, .max_upload_bytes = 8192, .upload_memory = 16384});
  const auto body = concat(R"({"prompt":"a cat","seed":5,"image":")", flat_image_base64("x", 1, 64, 64), R"("})");
  const auto edit = [&drawing, body](Fields fields = {}) {
    fields.emplace_back("Content-Type", "application/json");
    return RawClient(drawing.port).exchange(request_text("POST", "/v1/images/edits", body, fields));
  };
  auto first = std::async(std::launch::async, edit, Fields());
  ASSERT_TRUE(eventually([&] { return !drawing.record->calls(FakeCallKind::kBegin).empty(); }));
  auto second = std::async(std::launch::async, edit, Fields());
  EXPECT_EQ(second.wait_for(100ms), std::future_status::timeout);
  EXPECT_NE(drawing.get("/metrics").body.find("{state=\"waiting\"} 0"), std::string::npos) << "it is not queued yet";
  release.set_value();
  EXPECT_EQ(first.get().status, 200);
  EXPECT_EQ(second.get().status, 200);
  EXPECT_EQ(edit({{"Prefer", "respond-async"}}).status, 202);
  EXPECT_EQ(edit().status, 200) << "a job that has ended holds no memory";
}

TEST(WithEngine, ClientDisconnectFreesThePipeline) {
  Drawing drawing({.step_time = 10ms});
  RawClient client(drawing.port);
  client.send(image_request(R"({"prompt":"a cat","steps":250,"n":4})"));
  ASSERT_TRUE(eventually([&] { return drawing.record->live_generations() > 0; }));
  const auto left_at = std::chrono::steady_clock::now();
  client.close();
  EXPECT_TRUE(eventually([&] { return drawing.record->live_generations() == 0; }));
  EXPECT_LT(std::chrono::steady_clock::now() - left_at, 5s) << "generating it would have taken 10 s";
  EXPECT_EQ(drawing.draw(kImageBody).status, 200);
}

// Device calls that would take an hour, at every stage; another request must be generated as usual meanwhile.
TEST(WithEngine, ClientDisconnectIsDetectedAtEveryStage) {
  const std::pair<FakeCallKind, FakeOptions> stages[] = {{FakeCallKind::kBegin, {.begin_time = 1h}},
                                                         {FakeCallKind::kStep, {.step_time = 1h}},
                                                         {FakeCallKind::kFinish, {.finish_time = 1h}}};
  for (const auto& [kind, options] : stages) {
    SCOPED_TRACE(static_cast<int>(kind));
    Drawing drawing(options);
    RawClient client(drawing.port);
    client.send(image_request(kImageBody));
    ASSERT_TRUE(eventually([&, wanted = kind] { return !drawing.record->calls(wanted).empty(); }));
    RawClient queued(drawing.port);
    queued.send(image_request(kImageBody));
    ASSERT_TRUE(
        eventually([&] { return drawing.get("/metrics").body.find("{state=\"waiting\"} 1") != std::string::npos; }));
    queued.close();
    EXPECT_TRUE(drawing.ended("cancelled", 1)) << "queued";
    client.close();
    EXPECT_TRUE(drawing.ended("cancelled", 2)) << "within the call";
    EXPECT_TRUE(eventually([&] { return drawing.record->live_generations() == 0; }));
  }
}

TEST(WithEngine, SurvivesDisconnectWhileWritingTheResponse) {
  Drawing drawing({});
  for (int i = 0; i < 3; ++i) {
    RawClient client(drawing.port);
    client.send(image_request(R"({"prompt":"a cat","n":4,"size":"256x256","steps":1})"));
    ASSERT_TRUE(drawing.ended("drawn", i + 1));
    client.reset();
  }
  EXPECT_EQ(drawing.draw(kImageBody).status, 200);
  // The response is sent before the loop releases the image's resources.
  EXPECT_TRUE(eventually([&] { return drawing.record->live_generations() == 0; }));
}

TEST(WithEngine, RequestsWaitWhileTheModelLoads) {
  std::promise<void> may_load;
  const auto loaded = may_load.get_future().share();
  Drawing drawing({.on_call = [loaded](const FakeCall& call) {
    if (call.kind == FakeCallKind::kLoad) loaded.wait();
  }});
  EXPECT_EQ(drawing.get("/health").json()["status"], "loading");
  EXPECT_EQ(drawing.get("/ready").status, 503);
  RawClient client(drawing.port);
  client.send(image_request(kImageBody));
  EXPECT_EQ(drawing.get("/health").status, 200);
  may_load.set_value();
  EXPECT_EQ(client.read().status, 200);
  EXPECT_EQ(drawing.get("/ready").json()["status"], "ready");
}

TEST(WithEngine, FailedModelLoadReturns500) {
  const FakeFault fault{.where = FakeCallKind::kLoad, .code = ErrorCode::kNotFound};
  Drawing drawing({.faults = {fault}});
  const auto response = drawing.draw(kImageBody);
  EXPECT_EQ(response.status, 500);
  EXPECT_EQ(response.header("x-should-retry"), "false");
  EXPECT_EQ(response.json()["error"]["code"], "image_generation_failed");
  EXPECT_EQ(drawing.get("/health").json()["status"], "failed");
}

TEST(WithEngine, FullQueueReturns429WithRetryAfter) {
  Drawing drawing({.step_time = 5ms}, /*max_waiting=*/1);
  RawClient first(drawing.port);
  first.send(image_request(R"({"prompt":"a cat","steps":100})"));
  ASSERT_TRUE(eventually([&] { return drawing.record->live_generations() > 0; }));
  const auto second = drawing.draw(kImageBody);
  EXPECT_EQ(second.status, 429);
  EXPECT_GE(std::stoi(second.header("retry-after")), 1);
  EXPECT_EQ(first.read().status, 200);
}

TEST(WithEngine, ShutdownFinishesRunningRequests) {
  Drawing drawing({.step_time = 10ms});
  RawClient client(drawing.port);
  client.send(image_request(R"({"prompt":"a cat","steps":50})"));
  ASSERT_TRUE(eventually([&] { return drawing.record->live_generations() > 0; }));
  drawing.shut_down();
  const auto response = client.read();
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.json()["data"].size(), 1u);
}

TEST(WithEngine, ShutdownAbortsRequestsAfterTheDrainTimeout) {
  Drawing drawing({.step_time = 10ms});
  RawClient client(drawing.port);
  client.send(image_request(R"({"prompt":"a cat","steps":250,"n":10})"));
  ASSERT_TRUE(eventually([&] { return drawing.record->live_generations() > 0; }));
  const auto told_at = std::chrono::steady_clock::now();
  EXPECT_FALSE(drawing.shut_down(/*drain_timeout=*/200ms));
  EXPECT_LT(std::chrono::steady_clock::now() - told_at, 5s) << "generating it would have taken 25 s";
  const auto response = client.read();
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(response.json()["error"]["code"], "server_unavailable");
  EXPECT_NE(response.json()["error"]["message"].get<std::string>().find("shut"), std::string::npos) << response.body;
  EXPECT_EQ(drawing.record->live_generations(), 0);
}

TEST(WithEngine, DeadlineEndsOnlyItsRequest) {
  Drawing drawing({.step_time = 10ms});
  RawClient patient(drawing.port);
  patient.send(image_request(R"({"prompt":"a cat","steps":100})"));
  const auto hurried = drawing.draw(R"({"prompt":"a dog","steps":250})", {{"x-easel-timeout", "0.3"}});
  EXPECT_EQ(hurried.status, 504);
  EXPECT_EQ(hurried.json()["error"]["code"], "deadline_exceeded");
  EXPECT_EQ(patient.read().status, 200);
}

TEST(WithEngine, MetricsAreRecorded) {
  Drawing drawing({.step_time = 1ms});
  EXPECT_EQ(drawing.draw(R"({"prompt":"a cat","n":2})").status, 200);
  for (const char* line :
       {"easel_pictures_total{model=\"fake\"} 2\n", "easel_requests_total{model=\"fake\",outcome=\"drawn\"} 1\n",
        "easel_queue_requests{state=\"drawing\"} 0\n", "easel_queue_requests{state=\"waiting\"} 0\n",
        "easel_request_wait_seconds_count{model=\"fake\"} 1\n", "easel_request_seconds_count{model=\"fake\"} 1\n",
        "easel_decode_seconds_count{device=\"cpu\",model=\"fake\"} 2\n",
        "easel_step_rows_sum{device=\"cpu\",model=\"fake\"} ",
        "easel_model_loads_total{device=\"cpu\",model=\"fake\",result=\"loaded\"} 1\n"}) {
    EXPECT_TRUE(eventually([&] { return drawing.get("/metrics").body.find(line) != std::string::npos; })) << line;
  }
}

TEST(WithEngine, EachRequestLogsOneLine) {
  ::testing::internal::CaptureStderr();
  {
    Drawing drawing({.faults = {{.where = FakeCallKind::kBegin, .seed = 9, .code = ErrorCode::kInvalidArgument}}});
    EXPECT_EQ(drawing.draw(kImageBody, {{"x-request-id", "good"}}).status, 200);
    drawing.draw(R"({"prompt":"a cat","seed":9})", {{"x-request-id", "refused"}});
  }
  std::istringstream log(::testing::internal::GetCapturedStderr());
  int good = 0;
  int refused = 0;
  for (std::string line; std::getline(log, line);) {
    const bool is_good = line.find("id=good") != std::string::npos;
    const bool is_refused = line.find("id=refused") != std::string::npos;
    good += is_good;
    refused += is_refused;
    EXPECT_TRUE(is_good || is_refused || line.find("request") == std::string::npos) << line;
  }
  EXPECT_EQ(good, 1);
  EXPECT_EQ(refused, 2) << "the error line and the request line";
}

}  // namespace
}  // namespace easel::test
