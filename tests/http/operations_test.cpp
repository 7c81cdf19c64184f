// What operators see of the server: health, readiness, metrics, log lines.
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <regex>
#include <sstream>

#include "core/log.h"
#include "core/text.h"
#include "http/support/running_server.h"

namespace easel::test {
namespace {

constexpr char kSecretBody[] = R"({"prompt":"a secret cat","seed":5})";

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

/// The value of a time series as Prometheus reads it; -1 where there is none.
double series(const RunningServer& server, const std::string& name) {
  for (const auto& line : lines_of(server.get("/metrics").body)) {
    if (line.starts_with(name + " ")) return std::stod(line.substr(name.size() + 1));
  }
  return -1;
}

std::string request_series(const char* route, const char* method, int status) {
  return concat("easel_http_requests_total{method=\"", method, "\",route=\"", route, "\",status=\"", status, "\"}");
}

TEST(Health, ReportsTheProcessWhileReadyReportsTheModel) {
  RunningServer server({.api_keys = {"key"}});
  const std::tuple<ModelState, int, int, const char*> states[] = {{ModelState::kUnloaded, 200, 503, "loading"},
                                                                  {ModelState::kLoading, 200, 503, "loading"},
                                                                  {ModelState::kFailed, 503, 503, "failed"},
                                                                  {ModelState::kReady, 200, 200, "ready"}};
  for (const auto& [state, health_status, ready_status, text] : states) {
    server.engine.set_state(state);
    const auto health = server.get("/health");
    EXPECT_EQ(health.status, health_status) << "without a key, too";
    EXPECT_EQ(health.json()["status"], text);
    EXPECT_FALSE(health.json().contains("model")) << "it needs no key";
    const auto ready = server.get("/ready");
    EXPECT_EQ(ready.status, ready_status) << text;
    EXPECT_EQ(ready.json()["ready"], ready_status == 200);
    EXPECT_EQ(ready.json()["status"], text);
  }
}

TEST(Health, ReadyReportsTheProgressOfADownload) {
  const auto download = std::make_shared<PendingDownload>();
  download->model = "org/model";
  download->done_bytes = 3 << 20;
  download->total_bytes = 8 << 20;
  RunningServer server({.download = download});
  server.engine.set_state(ModelState::kReady);
  const auto ready = server.get("/ready");
  EXPECT_EQ(ready.status, 503);
  EXPECT_EQ(
      ready.body,
      R"({"ready":false,"status":"downloading","model":"org/model","downloaded_bytes":3145728,"total_bytes":8388608})");
  EXPECT_EQ(server.get("/health").status, 200);
  const auto refused = server.draw(R"({"prompt": "a cat"})");
  EXPECT_EQ(refused.status, 503);
  EXPECT_NE(refused.body.find("org/model is still being downloaded: 3 of 8 MiB"), std::string::npos) << refused.body;
  download->finished = true;
  EXPECT_EQ(server.get("/ready").status, 200);
  EXPECT_EQ(server.draw(R"({"prompt": "a cat"})").status, 200);
}

TEST(Metrics, RequireAKeyWhenKeysAreConfigured) {
  const RunningServer server({.api_keys = {"key"}});
  EXPECT_EQ(server.get("/metrics").status, 401);
  EXPECT_EQ(server.get("/metrics", {{"Authorization", "Bearer key"}}).status, 200);
}

TEST(Metrics, HostileRequestsAddNoTimeSeries) {
  const RunningServer server;
  const auto provoke = [&](int i) {
    server.ask(request_text(concat("BREW", i), concat("/v1/pot/", i)));
    server.ask(request_text("GET", concat("/v1/models/\"\\", i, "%0a")));
    server.ask(request_text("GET", concat("/", i, "\"}/%22")));
    server.ask(request_text(concat("BREW", i), "/v1/models"));
    server.draw(concat(R"({"prompt":"x","model":")", i, R"("})"));
    server.draw(kSecretBody, {{"Content-Type", concat("odd/", i)}});
    server.ask(concat("GARBAGE", i, "\r\n\r\n"));
  };
  provoke(0);
  const auto before = lines_of(server.get("/metrics").body).size();
  const auto with_itself = lines_of(server.get("/metrics").body).size();  // now that it has been counted, too
  for (int i = 1; i < 20; ++i) provoke(i);
  const auto after = server.get("/metrics").body;
  EXPECT_LT(before, with_itself);
  EXPECT_EQ(lines_of(after).size(), with_itself);
  EXPECT_EQ(after.find("BREW"), std::string::npos);
  EXPECT_EQ(series(server, request_series("other", "other", 404)), 20);
  EXPECT_EQ(series(server, request_series("other", "other", 405)), 20);
  EXPECT_EQ(series(server, request_series("other", "GET", 404)), 20);
  EXPECT_EQ(series(server, request_series("other", "other", 400)), 20) << "unreadable heads";
  EXPECT_EQ(series(server, request_series("/v1/models/{id}", "GET", 404)), 20);
}

TEST(Metrics, CountRequestsByRouteAndStatus) {
  const RunningServer server({.version = "1.2.3"});
  for (int i = 0; i < 3; ++i) server.draw(kSecretBody);
  server.draw("{");
  server.get("/models/tiny");
  EXPECT_EQ(series(server, request_series("/v1/images/generations", "POST", 200)), 3);
  EXPECT_EQ(series(server, request_series("/v1/images/generations", "POST", 400)), 1);
  EXPECT_EQ(series(server, request_series("/v1/models/{id}", "GET", 200)), 1);
  EXPECT_EQ(series(server, "easel_http_request_seconds_count{route=\"/v1/images/generations\"}"), 4);
  EXPECT_GT(series(server, "process_resident_memory_bytes"), 1 << 20);
  EXPECT_EQ(series(server, "easel_build_info{version=\"1.2.3\"}"), 1);
}

TEST(Metrics, AreInPrometheusFormat) {
  const RunningServer server;
  server.draw(kSecretBody);
  const auto response = server.get("/metrics");
  EXPECT_EQ(response.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  const std::regex comment(R"(# (HELP|TYPE) [a-z_]+ .+)");
  const std::regex sample(R"re([a-z_]+(\{[a-z_]+="[^"\\]*"(,[a-z_]+="[^"\\]*")*\})? [-+0-9.e]+)re");
  for (const auto& line : lines_of(response.body)) {
    EXPECT_TRUE(std::regex_match(line, line.starts_with('#') ? comment : sample)) << line;
  }
}

TEST(Health, ServerWithAStalledDeviceIsNotReady) {
  RunningServer server;
  server.engine.set_state(ModelState::kReady);
  server.engine.set_stalled({{.device = "cuda:0", .seconds = 601, .work = "step of model tiny"}});
  const auto ready = server.get("/ready");
  EXPECT_EQ(ready.status, 503);
  EXPECT_EQ(ready.json()["status"], "stalled");
  EXPECT_EQ(server.get("/health").status, 200);
  server.engine.set_stalled({});
  EXPECT_EQ(server.get("/ready").status, 200);
}

TEST(SubmitOptions, ReachTheEngine) {
  RunningServer server({.local_operator = true, .request_timeout = std::chrono::seconds(60)});
  EXPECT_EQ(server.draw(kSecretBody).status, 200);
  EXPECT_EQ(server.engine.last_options().account, "127.0.0.1");
  EXPECT_EQ(server.engine.last_options().timeout, std::chrono::seconds(60));
  EXPECT_EQ(server.draw(kSecretBody, {{"x-easel-timeout", "2.5"}, {"x-easel-priority", "-2"}}).status, 200);
  EXPECT_EQ(server.engine.last_options().timeout, std::chrono::milliseconds(2500));
  EXPECT_EQ(server.engine.last_options().priority, -2);
  const auto drawn = server.engine.requests().size();
  EXPECT_EQ(server.draw(kSecretBody, {{"x-easel-timeout", "soon"}}).status, 400);
  EXPECT_EQ(server.draw(kSecretBody, {{"x-easel-priority", "3"}, {"Via", "1.1 proxy"}}).status, 403);
  EXPECT_EQ(server.engine.requests().size(), drawn);
}

TEST(Queue, PositionAndWaitAreReportedInHeaders) {
  RunningServer server;
  server.engine.set_position({.ahead = 4, .wait_seconds = 12.3456});
  server.engine.set_stats({.queued_seconds = 3.25});
  const auto answer = server.draw(kSecretBody);
  EXPECT_EQ(answer.header("x-easel-queue-position"), "4");
  EXPECT_EQ(answer.header("x-easel-estimated-wait"), "12.346");
  EXPECT_EQ(answer.header("x-easel-waited"), "3.25");
}

TEST(Queue, FullQueueReturns429WithEstimatedRetryAfter) {
  RunningServer server;
  server.engine.fail_submit(Error(ErrorCode::kResourceExhausted, "64 requests wait already"));
  for (const auto& [wait, field] : std::vector<std::pair<double, const char*>>{{12.2, "13"},
                                                                               {0.001, "1"},
                                                                               {0.0, "1"},
                                                                               {-5.0, "1"},
                                                                               {7.0, "7"},
                                                                               {61.0, "60"},
                                                                               {1e300, "60"},
                                                                               {std::nan(""), "1"}}) {
    server.engine.set_estimated_wait(wait);
    const auto full = server.draw(kSecretBody);
    EXPECT_EQ(full.status, 429);
    EXPECT_EQ(full.header("retry-after"), field) << wait;
    EXPECT_EQ(full.json()["error"]["code"], "rate_limit_exceeded");
    EXPECT_TRUE(full.has("x-easel-estimated-wait"));
  }
  server.engine.set_estimated_wait(250.5);
  const auto full = server.draw(kSecretBody);
  EXPECT_EQ(full.header("x-easel-estimated-wait"), "250.5") << "the header retry-after is limited, the estimate is not";
  EXPECT_EQ(full.json()["error"]["message"], "64 requests wait already (a place is expected to be free in 251 s)");
  server.engine.fail_submit(Error(ErrorCode::kUnavailable, "draining"));
  EXPECT_EQ(server.draw(kSecretBody).header("retry-after"), "5") << "there is no estimate of when a place will be free";
}

TEST(Deadline, ExceededReturns504WithoutRetry) {
  RunningServer server;
  server.engine.fail_generation(Error(ErrorCode::kDeadlineExceeded, "it took longer than 2 s"));
  const auto late = server.draw(kSecretBody);
  EXPECT_EQ(late.status, 504);
  EXPECT_EQ(late.reason, "Gateway Timeout");
  EXPECT_EQ(late.json()["error"]["type"], "server_error");
  EXPECT_EQ(late.json()["error"]["code"], "deadline_exceeded");
  EXPECT_EQ(late.header("x-should-retry"), "false");
}

TEST(Models, AreLoadedAndUnloadedByOperators) {
  RunningServer server({.local_operator = true}, {}, {tiny_model("tiny"), tiny_model("org/a b")});
  server.engine.set_state(ModelState::kLoading);
  const auto loading = server.ask(request_text("POST", "/v1/models/org%2Fa%20b/load"));
  EXPECT_EQ(loading.status, 202);
  EXPECT_EQ(loading.reason, "Accepted");
  EXPECT_EQ(loading.json()["id"], "org/a b");
  EXPECT_EQ(loading.json()["state"], "loading");
  server.engine.set_state(ModelState::kReady);
  EXPECT_EQ(server.ask(request_text("POST", "/v1/models/tiny/load", "{}")).status, 200) << "already there";
  EXPECT_EQ(server.ask(request_text("POST", "/v1/models/org/a+b/unload")).status, 202) << "images are still drawn";
  server.engine.set_state(ModelState::kUnloaded);
  EXPECT_EQ(server.ask(request_text("POST", "/v1/models/dall-e-3/unload")).json()["id"], "dall-e-3");
  EXPECT_EQ(server.engine.controls(),
            (std::vector<std::string>{"load org/a b", "load tiny", "unload org/a b", "unload tiny"}));
}

TEST(Models, LoadAndUnloadRejectNonOperatorsAndUnknownModels) {
  RunningServer server({.local_operator = true});
  for (const char* action : {"load", "unload"}) {
    EXPECT_EQ(server.ask(request_text("POST", concat("/v1/models/nope/", action))).status, 404);
    EXPECT_EQ(server.ask(request_text("GET", concat("/v1/models/tiny/", action))).status, 404);
    EXPECT_EQ(server.ask(request_text("POST", concat("/v1/models/tiny%00/", action))).status, 400);
    const auto foreign =
        server.ask(request_text("POST", concat("/v1/models/tiny/", action), "", {{"X-Forwarded-For", "x"}}));
    EXPECT_EQ(foreign.status, 403);
    EXPECT_EQ(foreign.json()["error"]["code"], "operator_needed");
    EXPECT_EQ(foreign.json()["error"]["type"], "permission_error");
  }
  server.engine.fail_load(Error(ErrorCode::kUnavailable, "draining"));
  EXPECT_EQ(server.ask(request_text("POST", "/v1/models/tiny/load")).status, 503);
  EXPECT_TRUE(server.engine.controls().empty());
  const RunningServer with_key({.api_keys = {"key"}});
  EXPECT_EQ(with_key.ask(request_text("POST", "/v1/models/tiny/unload")).status, 401);
  EXPECT_EQ(with_key.ask(request_text("POST", "/v1/models/tiny/unload", "", {{"api-key", "key"}})).status, 403);
}

TEST(Models, ReportTheirState) {
  RunningServer server;
  const auto now = std::chrono::system_clock::from_time_t(1'800'000'000);
  server.engine.set_status({.state = ModelState::kReady, .memory_bytes = 5000, .pinned = true, .last_used = now});
  const auto ready = server.get("/v1/models/tiny").json();
  EXPECT_EQ(ready["state"], "ready");
  EXPECT_EQ(ready["memory_bytes"], 5000);
  EXPECT_EQ(ready["pinned"], true);
  EXPECT_EQ(ready["last_used"], 1'800'000'000);
  EXPECT_FALSE(ready.contains("loading_progress") || ready.contains("failure"));
  server.engine.set_status({.state = ModelState::kLoading, .loading_progress = 0.25});
  const auto loading = server.get("/v1/models").json()["data"][0];
  EXPECT_EQ(loading["state"], "loading");
  EXPECT_EQ(loading["loading_progress"], 0.25);
  EXPECT_FALSE(loading.contains("last_used"));
  server.engine.set_status({.state = ModelState::kFailed, .failure = "no weights"});
  EXPECT_EQ(server.get("/v1/models/tiny").json()["failure"], "no weights");
}

TEST(Models, ReportStatePerDevice) {
  RunningServer server;
  server.engine.set_status({.state = ModelState::kReady,
                            .devices = {{.device = "cuda:0", .state = ModelState::kReady, .memory_bytes = 5000},
                                        {.device = "cuda:1", .state = ModelState::kLoading, .loading_progress = 0.5},
                                        {.device = "cuda:2", .state = ModelState::kFailed, .failure = "no room"}}});
  const auto devices = server.get("/v1/models/tiny").json()["devices"];
  ASSERT_EQ(devices.size(), 3u);
  EXPECT_EQ(devices[0], nlohmann::json::parse(R"({"device": "cuda:0", "state": "ready", "memory_bytes": 5000})"));
  EXPECT_EQ(devices[1]["loading_progress"], 0.5);
  EXPECT_EQ(devices[2]["failure"], "no room");
}

TEST(Health, EvictedModelStillCountsAsReady) {
  RunningServer server;
  server.engine.set_status({.state = ModelState::kUnloaded, .last_used = std::chrono::system_clock::now()});
  const auto ready = server.get("/ready");
  EXPECT_EQ(ready.status, 200) << "otherwise the request that would load it again is held back";
  EXPECT_EQ(ready.json()["status"], "idle");
}

TEST(Keys, FromAFileBecomeAccounts) {
  const auto path = ::testing::TempDir() + "easel_operations_keys.json";
  // The SHA-256 of "abc".
  constexpr char kAbc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  std::ofstream(path) << R"({"keys":[{"name":"ann","max_requests":2,"share":3,"operator":true,"sha256":")" << kAbc
                      << "\"}]}";
  RunningServer server({.api_keys_file = path});
  EXPECT_EQ(server.draw(kSecretBody).status, 401);
  EXPECT_EQ(server.draw(kSecretBody, {{"Authorization", "Bearer abd"}}).status, 401);
  EXPECT_EQ(server.draw(kSecretBody, {{"Authorization", "Bearer abc"}, {"x-easel-priority", "1"}}).status, 200);
  EXPECT_EQ(server.engine.last_options().account, "ann");
  EXPECT_EQ(server.engine.last_options().max_pending_per_account, 2u);
  EXPECT_EQ(server.engine.last_options().share, 3.0);
  EXPECT_EQ(server.ask(request_text("POST", "/v1/models/tiny/load", "", {{"api-key", "abc"}})).status, 200);
  std::remove(path.c_str());
  EXPECT_EQ(server.draw(kSecretBody, {{"Authorization", "Bearer abc"}}).status, 200)
      << "the keys read before stay valid";
}

class RequestLog : public ::testing::Test {
 protected:
  void SetUp() override {
    log::set_format(log::Format::kJson);
    ::testing::internal::CaptureStderr();
  }
  void TearDown() override { log::set_format(log::Format::kText); }

  /// The lines written since the test began, as objects.
  static std::vector<nlohmann::json> written() {
    std::vector<nlohmann::json> objects;
    for (const auto& line : lines_of(::testing::internal::GetCapturedStderr())) {
      objects.push_back(nlohmann::json::parse(line));
    }
    return objects;
  }
};

TEST_F(RequestLog, HasOneLineForEachRequest) {
  {
    RunningServer server;
    server.engine.set_stats(
        {.queued_seconds = 0.5, .run_seconds = 1.23456, .device_seconds = 0.75, .max_rows = 6, .device = "cuda:1"});
    server.draw(kSecretBody, {{"x-request-id", "one"}});
    server.draw(R"({"prompt":"a secret cat","n":99})", {{"x-request-id", "two"}});
    server.get("/nowhere\"", {{"x-request-id", "three"}});
    server.get("/health", {{"x-request-id", "probe"}});
    server.get("/metrics", {{"x-request-id", "scrape"}});
  }
  const auto lines = written();
  ASSERT_EQ(lines.size(), 3u) << "and no lines for probes";
  EXPECT_EQ(lines[0]["message"], "request");
  EXPECT_EQ(lines[0]["id"], "one");
  EXPECT_EQ(lines[0]["method"], "POST");
  EXPECT_EQ(lines[0]["path"], "/v1/images/generations");
  EXPECT_EQ(lines[0]["status"], 200);
  EXPECT_EQ(lines[0]["account"], "127.0.0.1");
  EXPECT_EQ(lines[0]["model"], "tiny");
  EXPECT_EQ(lines[0]["size"], "24x16");
  EXPECT_EQ(lines[0]["images"], 1);
  EXPECT_EQ(lines[0]["steps"], 8);
  EXPECT_EQ(lines[0]["waited"], 0.5);
  EXPECT_EQ(lines[0]["drawn"], 1.235);
  EXPECT_EQ(lines[0]["device_seconds"], 0.75);
  EXPECT_EQ(lines[0]["device"], "cuda:1");
  EXPECT_EQ(lines[0]["rows"], 6);
  EXPECT_TRUE(lines[0]["ms"].is_number_integer());
  EXPECT_EQ(lines[1]["id"], "two");
  EXPECT_EQ(lines[1]["status"], 400);
  EXPECT_EQ(lines[2]["path"], "/nowhere\"");
  EXPECT_EQ(lines[2]["status"], 404);
  for (const auto& line : lines) EXPECT_EQ(line.dump().find("secret"), std::string::npos) << "prompts are not logged";
}

TEST_F(RequestLog, ClientDisconnectIsLoggedAs499) {
  {
    RunningServer server;
    server.engine.set_stats({.queued_seconds = 0.5});
    server.engine.hold(true);
    RawClient client(server.port);
    client.send(image_request(kSecretBody, {{"x-request-id", "gone"}}));
    EXPECT_TRUE(eventually([&] { return server.engine.held() == 1; }));
    client.close();
    EXPECT_TRUE(eventually([&] { return server.engine.cancelled() == 1; }));
  }
  const auto lines = written();
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0]["id"], "gone");
  EXPECT_EQ(lines[0]["status"], 499);
  EXPECT_EQ(lines[0]["waited"], 0.5);
}

TEST_F(RequestLog, DoesNotHoldTheIdsOfImages) {
  std::string id;
  {
    const RunningServer server;
    const auto url = server.draw(R"({"prompt":"a cat","response_format":"url"})").json()["data"][0]["url"];
    const auto path = url.get<std::string>().substr(std::string("http://localhost").size());
    id = path.substr(path.rfind('/') + 1, 32);
    EXPECT_EQ(server.get(path).status, 200);
  }
  const auto lines = written();
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[1]["path"], "/v1/images/files/{name}");
  for (const auto& line : lines) EXPECT_EQ(line.dump().find(id), std::string::npos);
}

TEST_F(RequestLog, ServerErrorsLogTheirCause) {
  {
    RunningServer server;
    server.engine.fail_generation(Error(ErrorCode::kInternal, "the card fell off"));
    server.draw(kSecretBody, {{"x-request-id", "unlucky"}});
  }
  const auto lines = written();
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0]["level"], "error");
  EXPECT_EQ(lines[0]["id"], "unlucky");
  EXPECT_NE(lines[0]["message"].get<std::string>().find("the card fell off"), std::string::npos);
  EXPECT_EQ(lines[1]["status"], 500);
}

}  // namespace
}  // namespace easel::test
