// What whoever runs the server sees of it: health, readiness, figures, log lines.
#include <gtest/gtest.h>

#include <algorithm>
#include <regex>
#include <sstream>

#include "core/log.h"
#include "core/text.h"
#include "http/running_server.h"

namespace easel::test {
namespace {

constexpr char kGoodBody[] = R"({"prompt":"a secret cat","seed":5})";

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

/// The value behind a series as Prometheus reads it; -1 where there is none.
double series(const RunningServer& server, const std::string& name) {
  for (const auto& line : lines_of(server.get("/metrics").body)) {
    if (line.starts_with(name + " ")) return std::stod(line.substr(name.size() + 1));
  }
  return -1;
}

std::string request_series(const char* route, const char* method, int status) {
  return concat("easel_http_requests_total{method=\"", method, "\",route=\"", route, "\",status=\"", status, "\"}");
}

TEST(Health, IsAboutTheProcessAndReadyAboutTheModel) {
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
    EXPECT_EQ(health.json()["model"], "tiny");
    const auto ready = server.get("/ready");
    EXPECT_EQ(ready.status, ready_status) << text;
    EXPECT_EQ(ready.json()["ready"], ready_status == 200);
    EXPECT_EQ(ready.json()["status"], text);
  }
}

TEST(Metrics, NeedAKeyWhereThereAreKeys) {
  const RunningServer server({.api_keys = {"key"}});
  EXPECT_EQ(server.get("/metrics").status, 401);
  EXPECT_EQ(server.get("/metrics", {{"Authorization", "Bearer key"}}).status, 200);
}

TEST(Metrics, HostileRequestsAddNoSeries) {
  const RunningServer server;
  const auto provoke = [&](int i) {
    server.ask(request_text(concat("BREW", i), concat("/v1/pot/", i)));
    server.ask(request_text("GET", concat("/v1/models/\"\\", i, "%0a")));
    server.ask(request_text("GET", concat("/", i, "\"}/%22")));
    server.ask(request_text(concat("BREW", i), "/v1/models"));
    server.draw(concat(R"({"prompt":"x","model":")", i, R"("})"));
    server.draw(kGoodBody, {{"Content-Type", concat("odd/", i)}});
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
  for (int i = 0; i < 3; ++i) server.draw(kGoodBody);
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
  server.draw(kGoodBody);
  const auto response = server.get("/metrics");
  EXPECT_EQ(response.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  const std::regex comment(R"(# (HELP|TYPE) [a-z_]+ .+)");
  const std::regex sample(R"re([a-z_]+(\{[a-z_]+="[^"\\]*"(,[a-z_]+="[^"\\]*")*\})? [-+0-9.e]+)re");
  for (const auto& line : lines_of(response.body)) {
    EXPECT_TRUE(std::regex_match(line, line.starts_with('#') ? comment : sample)) << line;
  }
}

class RequestLog : public testing::Test {
 protected:
  void SetUp() override {
    log::set_format(log::Format::kJson);
    testing::internal::CaptureStderr();
  }
  void TearDown() override { log::set_format(log::Format::kText); }

  /// The lines written since the test began, as objects.
  static std::vector<nlohmann::json> written() {
    std::vector<nlohmann::json> objects;
    for (const auto& line : lines_of(testing::internal::GetCapturedStderr())) {
      objects.push_back(nlohmann::json::parse(line));
    }
    return objects;
  }
};

TEST_F(RequestLog, HasOneLineForEachRequest) {
  {
    const RunningServer server;
    server.draw(kGoodBody, {{"x-request-id", "one"}});
    server.draw(R"({"prompt":"a secret cat","n":99})", {{"x-request-id", "two"}});
    server.get("/nowhere\"", {{"x-request-id", "three"}});
    server.get("/health", {{"x-request-id", "probe"}});
    server.get("/metrics", {{"x-request-id", "scrape"}});
  }
  const auto lines = written();
  ASSERT_EQ(lines.size(), 3u) << "and none for probes";
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
  EXPECT_TRUE(lines[0]["ms"].is_number_integer());
  EXPECT_EQ(lines[1]["id"], "two");
  EXPECT_EQ(lines[1]["status"], 400);
  EXPECT_EQ(lines[2]["path"], "/nowhere\"");
  EXPECT_EQ(lines[2]["status"], 404);
  for (const auto& line : lines) EXPECT_EQ(line.dump().find("secret"), std::string::npos) << "prompts stay out of it";
}

TEST_F(RequestLog, NamesWhatFailed) {
  {
    RunningServer server;
    server.engine.fail_drawing(Error(ErrorCode::kInternal, "the card fell off"));
    server.draw(kGoodBody, {{"x-request-id", "unlucky"}});
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
