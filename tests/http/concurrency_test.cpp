// Many clients at once: full queues, disconnects, shutdown. These tests are worth most under ThreadSanitizer.
#include <gtest/gtest.h>
#include <pthread.h>

#include <future>

#include "core/base64.h"
#include "core/text.h"
#include "easel/image.h"
#include "http/support/running_server.h"

namespace easel::test {
namespace {

using namespace std::chrono_literals;

std::vector<std::unique_ptr<RawClient>> connect(const RunningServer& server, std::size_t count) {
  std::vector<std::unique_ptr<RawClient>> clients;
  for (std::size_t i = 0; i < count; ++i) clients.push_back(std::make_unique<RawClient>(server.port));
  return clients;
}

TEST(Concurrency, FullQueueStillServesHealthAndModels) {
  constexpr std::size_t kMaxWaiting = 64;
  RunningServer server({.max_waiting = kMaxWaiting});
  server.engine.hold(true);
  auto clients = connect(server, kMaxWaiting);
  for (auto& client : clients) client->send(image_request(kImageBody));
  ASSERT_TRUE(eventually([&] { return server.engine.held() == kMaxWaiting; }));

  EXPECT_EQ(server.get("/health").status, 200);
  EXPECT_EQ(server.get("/v1/models").status, 200);
  for (int i = 0; i < 5; ++i) {
    const auto one_too_many = server.draw(kImageBody);
    EXPECT_EQ(one_too_many.status, 429);
    EXPECT_EQ(one_too_many.json()["error"]["code"], "rate_limit_exceeded");
    EXPECT_TRUE(one_too_many.has("retry-after"));
  }
  server.engine.hold(false);
  for (auto& client : clients) EXPECT_EQ(client->read().status, 200);
  EXPECT_EQ(server.draw(kImageBody).status, 200) << "the places are free again";
}

TEST(Concurrency, IdleConnectionsYieldTheirThreads) {
  RunningServer server({.max_waiting = 2});
  auto idle = connect(server, 300);  // far more than there are threads
  for (auto& client : idle) client->send(request_text("GET", "/health"));
  for (auto& client : idle) EXPECT_EQ(client->read().status, 200);
  EXPECT_EQ(server.draw(kImageBody).status, 200);
}

TEST(Concurrency, StalledConnectionsYieldTheirThreads) {
  const http::ConnectionTimeouts timeouts{.under_load = 100ms};
  RunningServer server({.max_waiting = 2}, timeouts);
  auto silent = connect(server, 100);
  for (auto& client : silent) client->send("POST /v1/ima");
  EXPECT_EQ(server.get("/health").status, 200);
}

TEST(Concurrency, ResponsesGoToTheirRequests) {
  RunningServer server;
  std::vector<std::future<void>> clients;
  for (int c = 0; c < 16; ++c) {
    clients.push_back(std::async(std::launch::async, [&server, c] {
      RawClient client(server.port);
      for (int i = 0; i < 10; ++i) {
        GenerationRequest expected;
        expected.prompt = concat("prompt ", c, " ", i);
        expected.seed = static_cast<std::uint64_t>(100 * c + i);
        const auto body = concat(R"({"prompt":")", expected.prompt, R"(","n":2,"seed":)", expected.seed, "}");
        const auto answer = client.exchange(image_request(body)).json();
        for (int index = 0; index < 2; ++index) {
          EXPECT_EQ(answer["data"][index]["b64_json"], base64_encode(encode_png(fake_image(expected, index).image)));
        }
      }
    }));
  }
  for (auto& client : clients) client.get();
  EXPECT_EQ(server.engine.requests().size(), 160u);
}

class DisconnectingClient : public ::testing::TestWithParam<void (RawClient::*)()> {};

TEST_P(DisconnectingClient, CancelsItsJob) {
  RunningServer server({.max_waiting = 1});
  server.engine.hold(true);
  RawClient client(server.port);
  client.send(image_request(kImageBody));
  ASSERT_TRUE(eventually([&] { return server.engine.held() == 1; }));
  (client.*GetParam())();
  EXPECT_TRUE(eventually([&] { return server.engine.cancelled() == 1; }));
  server.engine.hold(false);
  EXPECT_TRUE(eventually([&] { return server.draw(kImageBody).status == 200; })) << "its place is free again";
}

INSTANTIATE_TEST_SUITE_P(Ways, DisconnectingClient, ::testing::Values(&RawClient::close, &RawClient::reset));

TEST(Concurrency, HalfClosedClientStillGetsItsResponse) {
  RunningServer server;
  server.engine.hold(true);
  RawClient client(server.port);
  client.send(image_request(kImageBody));
  client.end_sending();
  ASSERT_TRUE(eventually([&] { return server.engine.held() == 1; }));
  std::this_thread::sleep_for(700ms);  // long enough for several checks of whether the client has left
  EXPECT_EQ(server.engine.cancelled(), 0u);
  server.engine.hold(false);
  const auto response = client.read();
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.json()["data"].size(), 1u);
}

TEST(Concurrency, DisconnectOfAPipeliningClientIsDetected) {
  RunningServer server;
  server.engine.hold(true);
  RawClient client(server.port);
  client.send(image_request(kImageBody) + request_text("GET", "/health"));
  ASSERT_TRUE(eventually([&] { return server.engine.held() == 1; }));
  client.close();
  EXPECT_TRUE(eventually([&] { return server.engine.cancelled() == 1; }));
}

TEST(Shutdown, RejectsNewRequestsAndFinishesRunningOnes) {
  RunningServer server;
  server.engine.hold(true);
  RawClient drawing(server.port);
  drawing.send(image_request(kImageBody));
  ASSERT_TRUE(eventually([&] { return server.engine.held() == 1; }));

  server.server->begin_shutdown();
  RawClient late(server.port);
  const auto refused = late.exchange(image_request(kImageBody));
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.header("connection"), "close");
  EXPECT_EQ(refused.json()["error"]["type"], "server_error");
  EXPECT_TRUE(late.ended_within(5s));
  const auto ready = server.get("/ready");
  EXPECT_EQ(ready.status, 503);
  EXPECT_EQ(ready.json()["status"], "shutting_down");
  EXPECT_EQ(server.get("/health").status, 200) << "a server that drains is healthy";
  EXPECT_EQ(server.get("/v1/models").status, 200);

  auto stopped = std::async(std::launch::async, [&] { server.stop(); });
  EXPECT_EQ(stopped.wait_for(300ms), std::future_status::timeout) << "a response is under way";
  server.engine.hold(false);
  const auto answer = drawing.read();
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.header("connection"), "close");
  EXPECT_EQ(stopped.wait_for(10s), std::future_status::ready);
  EXPECT_THROW(RawClient{server.port}.exchange("x"), std::exception) << "the port is closed";
}

TEST(Shutdown, IdleConnectionsDoNotDelayIt) {
  RunningServer server;
  auto idle = connect(server, 10);
  for (auto& client : idle) EXPECT_EQ(client->exchange(request_text("GET", "/health")).status, 200);
  const auto started = std::chrono::steady_clock::now();
  server.stop();
  EXPECT_LT(std::chrono::steady_clock::now() - started, 2s);
}

// Makes every new thread fail during its lifetime: no machine has memory for such a stack.
class NoMoreThreads {
 public:
  NoMoreThreads() {
    pthread_getattr_default_np(&usual_);
    auto attributes = usual_;
    pthread_attr_setstacksize(&attributes, std::size_t{1} << 46);
    pthread_setattr_default_np(&attributes);
  }
  ~NoMoreThreads() { pthread_setattr_default_np(&usual_); }

 private:
  pthread_attr_t usual_;
};

TEST(Start, ThreadExhaustionThrowsUnavailable) {
  ScriptedEngine engine;
  const auto server = make_http_server(engine, {.port = 0, .max_waiting = 7});
  std::string message;
  {
    const NoMoreThreads none;
    try {
      server->bind();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUnavailable);
      message = error.what();
    }
  }
  EXPECT_NE(message.find("threads"), std::string::npos) << message;
  EXPECT_NE(message.find("--max-waiting"), std::string::npos) << message;
}

TEST(Shutdown, StopIsIdempotentAndValidBeforeRun) {
  ScriptedEngine engine;
  const auto server = make_http_server(engine, {.port = 0});
  server->bind();
  server->stop();
  server->stop();
  server->run();
  const auto never_run = make_http_server(engine, {.port = 0});
  never_run->bind();
  never_run->stop();
}

}  // namespace
}  // namespace easel::test
