// Responses that begin before their images are finished.

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <thread>

#include "http/support/running_server.h"

namespace easel::test {
namespace {

using namespace std::chrono_literals;

constexpr char kLateBody[] = R"({"prompt":"a cat","seed":5,"response_format":"b64_json"})";

// Asks while the engine holds its jobs, and lets them end once the head has arrived.
Response ask_slowly(RunningServer& server, const std::string& request) {
  server.engine.hold(true);
  RawClient client(server.port);
  client.send(request);
  std::thread release([&] {
    eventually([&] { return server.engine.held() == 1; });
    std::this_thread::sleep_for(150ms);
    server.engine.hold(false);
  });
  auto response = client.read();
  release.join();
  if (response.has("transfer-encoding")) {
    while (const auto chunk = client.read_chunk()) response.body += *chunk;
    EXPECT_TRUE(client.ended_within(5s));
  }
  return response;
}

TEST(LateResponse, BeginsBeforeTheImagesAreFinished) {
  RunningServer server({.early_headers_after = 50ms});
  const auto late = ask_slowly(server, image_request(kLateBody));
  ASSERT_EQ(late.status, 200);
  EXPECT_EQ(late.header("transfer-encoding"), "chunked");
  EXPECT_EQ(late.header("connection"), "close");
  EXPECT_TRUE(late.body.starts_with(" {")) << late.body.substr(0, 20);
  const auto usual = server.draw(kLateBody);
  EXPECT_FALSE(usual.has("transfer-encoding"));
  EXPECT_EQ(late.json()["data"], usual.json()["data"]);
}

TEST(LateResponse, TheApiOfA1111HasThemInItsOwnForm) {
  RunningServer server({.early_headers_after = 50ms});
  const auto request = request_text("POST", "/sdapi/v1/txt2img", kLateBody);
  const auto late = ask_slowly(server, request);
  EXPECT_TRUE(late.body.starts_with(" {")) << late.body.substr(0, 20);
  EXPECT_EQ(late.json()["images"].size(), 1u);
  server.engine.fail_generation(Error(ErrorCode::kCorruptData, "broken"));
  const auto failed = ask_slowly(server, request);
  EXPECT_EQ(failed.status, 200) << "it was spent";
  EXPECT_TRUE(failed.json().contains("detail")) << failed.body;
}

TEST(LateResponse, RequestsWithAKeyHaveThem) {
  RunningServer server({.early_headers_after = 50ms});
  const auto request = image_request(kLateBody, {{"Idempotency-Key", "one"}});
  const auto late = ask_slowly(server, request);
  EXPECT_TRUE(late.body.starts_with(" {")) << late.body.substr(0, 20);
  const auto again = server.ask(request);
  EXPECT_EQ(again.header("idempotent-replayed"), "true");
  EXPECT_EQ(again.json()["data"], late.json()["data"]);
}

TEST(LateResponse, IsNotSentToOldClientsOrWhenItIsOff) {
  RunningServer never({.early_headers_after = 0ms});
  EXPECT_FALSE(ask_slowly(never, image_request(kLateBody)).has("transfer-encoding"));
  RunningServer server({.early_headers_after = 50ms});
  const std::string body = kLateBody;
  const auto old =
      ask_slowly(server, "POST /v1/images/generations HTTP/1.0\r\nContent-Length: " + std::to_string(body.size()) +
                             "\r\n\r\n" + body);
  EXPECT_EQ(old.status, 200);
  EXPECT_TRUE(old.has("content-length"));
}

TEST(LateResponse, FailuresAreInTheBody) {
  RunningServer server({.early_headers_after = 50ms});
  server.engine.fail_generation(Error(ErrorCode::kCorruptData, "broken weights"));
  const auto response = ask_slowly(server, image_request(kLateBody));
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.json()["error"]["code"], "image_generation_failed");
  EXPECT_TRUE(eventually([&] {
    return server.get("/metrics").body.find("route=\"/v1/images/generations\",status=\"500\"} 1") != std::string::npos;
  }));
}

TEST(LateResponse, AClientThatLeavesCancelsTheJob) {
  RunningServer server({.early_headers_after = 50ms});
  server.engine.hold(true);
  RawClient client(server.port);
  client.send(image_request(kLateBody));
  EXPECT_TRUE(eventually([&] { return server.engine.held() == 1; }));
  std::this_thread::sleep_for(150ms);
  client.reset();
  EXPECT_TRUE(eventually([&] { return server.engine.cancelled() == 1; }));
}

}  // namespace
}  // namespace easel::test
