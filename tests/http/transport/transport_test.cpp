// Bytes on real sockets: framing, limits, slow clients and disconnects. After every bad request the server must still
// respond.
#include <gtest/gtest.h>

#include "core/text.h"
#include "http/support/running_server.h"

namespace easel::test {
namespace {

using namespace std::chrono_literals;

constexpr char kGoodBody[] = R"({"prompt":"a cat"})";

void expect_error(const Response& response, int status, const char* code = nullptr) {
  EXPECT_EQ(response.status, status);
  EXPECT_NE(response.reason, "");
  EXPECT_EQ(response.header("content-type"), "application/json; charset=utf-8");
  EXPECT_NE(response.header("x-request-id"), "");
  const auto error = response.json()["error"];
  ASSERT_TRUE(error.is_object()) << response.body;
  ASSERT_EQ(error.size(), 4u) << response.body;
  EXPECT_TRUE(error["message"].is_string() && error["type"].is_string());
  if (code) {
    EXPECT_EQ(error["code"], code);
  }
}

bool still_answers(const RunningServer& server) {
  return server.draw(kGoodBody).status == 200;
}

std::string chunked_request(const std::string& chunks, const std::string& more_fields = "") {
  return "POST /v1/images/generations HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n" + more_fields +
         "\r\n" + chunks;
}

TEST(Transport, MalformedRequestsCloseOnlyTheirConnection) {
  const RunningServer server;
  const std::pair<std::string, int> broken[] = {
      {"GARBAGE\r\n\r\n", 400},
      {"\x16\x03\x01\x02\x00\x01", 400},
      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
      {"GET /health HTTP/1.1\r\n\r\n", 400},
      {"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400},
      {"GET /health HTTP/1.1\nHost: localhost\n\n", 400},
      {"GET /health HTTP/1.1\r\nHost : localhost\r\n\r\n", 400},
      {"GET /health HTTP/1.1\r\nHost: localhost\r\nA: b\r\n c\r\n\r\n", 400},
      {"GET /health HTTP/1.1\r\nHost: localhost\r\nA: " + std::string(65536, 'a') + "\r\n\r\n", 431},
      {"GET /" + std::string(65536, 'a') + " HTTP/1.1\r\nHost: localhost\r\n\r\n", 414},
      {"\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n", 400},
      {request_text("POST", "/v1/images/generations", kGoodBody, {{"Transfer-Encoding", "chunked"}}), 400},
      {request_text("POST", "/v1/images/generations", kGoodBody, {{"Content-Length", "7"}}), 400},
      {request_text("POST", "/v1/images/generations", kGoodBody, {{"Expect", "a-miracle"}}), 417},
      {chunked_request("zz\r\n" + std::string(kGoodBody) + "\r\n0\r\n\r\n"), 400},
      {chunked_request("-1\r\nx"), 400},
      {chunked_request("2\r\n{}x\r\n0\r\n\r\n"), 400},
      {"POST /v1/images/generations HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
  };
  for (const auto& [request, status] : broken) {
    SCOPED_TRACE(request.substr(0, 120));
    RawClient client(server.port);
    const auto response = client.exchange(request);
    expect_error(response, status);
    EXPECT_EQ(response.header("connection"), "close");
    EXPECT_TRUE(client.ended_within(5s));
    EXPECT_TRUE(still_answers(server));
  }
}

TEST(Transport, InvalidBodiesKeepTheConnection) {
  const RunningServer server;
  RawClient client(server.port);
  for (const std::string body :
       {"{", "{\"prompt\":\"a", "{\"prompt\":\"a\"}x", "[]", "\"text\"", "5", "null", "\xFF\xFE{\0",
        "{\"prompt\":\"\xff\"}", "{\"prompt\":\"\\ud800\"}", "{\"n\":1e400,\"prompt\":\"a\"}"}) {
    SCOPED_TRACE(body);
    const auto response = client.exchange(image_request(body));
    expect_error(response, 400);
    EXPECT_TRUE(response.json()["error"]["code"].is_null());
    EXPECT_EQ(response.header("connection"), "keep-alive");
  }
  expect_error(client.exchange(image_request(std::string(100'000, '['))), 400);
  EXPECT_EQ(client.exchange(image_request(kGoodBody)).status, 200);
}

TEST(Transport, EmptyBodiesAreRefused) {
  const RunningServer server;
  RawClient client(server.port);
  expect_error(client.exchange("POST /v1/images/generations HTTP/1.1\r\nHost: localhost\r\n\r\n"), 400);
  expect_error(client.exchange("POST /v1/images/generations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"),
               400);
  expect_error(client.exchange(chunked_request("0\r\n\r\n")), 400);
  EXPECT_EQ(client.exchange(image_request(kGoodBody)).status, 200);
}

TEST(Transport, ChunkedBodiesAreRead) {
  const RunningServer server;
  RawClient client(server.port);
  const std::string chunks = "9;name=value\r\n{\"prompt\"\r\n9\r\n:\"a cat\"}\r\n0\r\nTrailer: x\r\n\r\n";
  EXPECT_EQ(client.exchange(chunked_request(chunks)).status, 200);
  // Byte by byte, and the next request directly after it.
  for (const char c : chunked_request(chunks)) client.send(std::string_view(&c, 1));
  EXPECT_EQ(client.read().status, 200);
  EXPECT_EQ(client.exchange(chunked_request(chunks) + request_text("GET", "/health")).status, 200);
  EXPECT_EQ(client.read().json()["status"], "ready");
  EXPECT_EQ(server.engine.requests().size(), 3u);
}

TEST(Transport, OversizedBodyReturns413BeforeItIsRead) {
  const RunningServer server({.max_body_bytes = 1000});
  RawClient client(server.port);
  const auto response =
      client.exchange("POST /v1/images/generations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1001\r\n\r\n");
  expect_error(response, 413);
  EXPECT_EQ(response.header("connection"), "close");
  EXPECT_EQ(server.draw(std::string(kGoodBody) + std::string(1000 - sizeof kGoodBody + 1, ' ')).status, 200)
      << "at the limit";
}

TEST(Transport, ClientStillSendingCanReadThe413) {
  const RunningServer server({.max_body_bytes = 1000});
  RawClient client(server.port);
  client.send("POST /v1/images/generations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8000000\r\n\r\n");
  for (int i = 0; i < 80; ++i) client.send(std::string(100'000, 'x'));
  expect_error(client.read(), 413);
}

TEST(Transport, OversizedChunkedBodyReturns413) {
  const RunningServer server({.max_body_bytes = 1000});
  RawClient client(server.port);
  client.send(chunked_request("3e8\r\n" + std::string(1000, ' ') + "\r\n"));
  expect_error(client.exchange("1\r\n"), 413);
  EXPECT_TRUE(client.ended_within(5s));
  EXPECT_TRUE(still_answers(server));
}

TEST(Transport, ExpectHeaderIsHonouredOrRejected) {
  const RunningServer server({.api_keys = {"key"}});
  const std::string head =
      "POST /v1/images/generations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 18\r\nExpect: 100-continue\r\n";
  RawClient willing(server.port);
  EXPECT_EQ(willing.exchange(head + "Authorization: Bearer key\r\n\r\n").status, 100);
  EXPECT_EQ(willing.exchange(kGoodBody).status, 200);
  EXPECT_EQ(willing.exchange(head + "Authorization: Bearer key\r\n\r\n" + kGoodBody).status, 200) << "it did not wait";

  RawClient refused(server.port);
  expect_error(refused.exchange(head + "\r\n"), 401);
  EXPECT_TRUE(refused.ended_within(5s)) << "the body may or may not follow";
}

TEST(Transport, RefusedRequestsWithSmallBodiesKeepTheConnection) {
  const RunningServer server;
  RawClient client(server.port);
  expect_error(client.exchange(request_text("POST", "/nowhere", "some body")), 404);
  expect_error(client.exchange(request_text("PUT", "/v1/models", "GET / HTTP/1.1\r\n\r\n")), 405);
  EXPECT_EQ(client.exchange(request_text("GET", "/health", "a GET may have a body too")).status, 200);
  EXPECT_EQ(client.exchange(image_request(kGoodBody)).status, 200);
}

TEST(Transport, PipelinedRequestsAreAnsweredInOrder) {
  const RunningServer server;
  RawClient client(server.port);
  client.send(request_text("GET", "/v1/models") + image_request(kGoodBody) + request_text("HEAD", "/v1/models") +
              "\r\n" + request_text("GET", "/health"));
  EXPECT_EQ(client.read().json()["object"], "list");
  EXPECT_EQ(client.read().json()["data"].size(), 1u);
  EXPECT_EQ(client.read(/*bodiless=*/true).status, 200);
  EXPECT_EQ(client.read().json()["status"], "ready");
}

TEST(Transport, Http10IsSupported) {
  const RunningServer server;
  RawClient once(server.port);
  const auto response = once.exchange("GET /health HTTP/1.0\r\n\r\n");
  EXPECT_EQ(response.status, 200);
  EXPECT_TRUE(response.has("content-length"));
  EXPECT_EQ(response.header("connection"), "close");
  EXPECT_TRUE(once.ended_within(5s));
  RawClient twice(server.port);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(twice.exchange("GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").header("connection"),
              "keep-alive");
  }
}

TEST(Transport, ConnectionCloseIsHonoured) {
  const RunningServer server;
  RawClient client(server.port);
  EXPECT_EQ(client.exchange(request_text("GET", "/health", "", {{"Connection", "close"}})).header("connection"),
            "close");
  EXPECT_TRUE(client.ended_within(5s));
}

TEST(Transport, SlowHeadsAndBodiesTimeOut) {
  const http::ConnectionTimeouts timeouts{.idle = 300ms, .head = 300ms, .body = 300ms, .linger = 100ms};
  const RunningServer server({}, timeouts);
  RawClient drip(server.port);
  RawClient stalled(server.port);
  RawClient silent(server.port);
  stalled.send("POST /v1/images/generations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 18\r\n\r\n{\"prom");
  bool cut = false;
  for (int i = 0; i < 200 && !cut; ++i) {
    cut = !drip.send(i == 0 ? "G" : "x");
    std::this_thread::sleep_for(10ms);
  }
  EXPECT_TRUE(cut) << "bytes that keep coming slowly gain no time";
  expect_error(stalled.read(), 408);
  EXPECT_TRUE(silent.ended_within(5s));
  RawClient idle(server.port);
  EXPECT_EQ(idle.exchange(request_text("GET", "/health")).status, 200);
  EXPECT_TRUE(idle.ended_within(5s));
  EXPECT_TRUE(still_answers(server));
}

TEST(Transport, TruncatedRequestReturns400) {
  const RunningServer server;
  RawClient head(server.port);
  head.send("GET /health HT");
  head.end_sending();
  expect_error(head.read(), 400);
  RawClient body(server.port);
  body.send("POST /v1/images/generations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 18\r\n\r\n{\"prom");
  body.end_sending();
  expect_error(body.read(), 400);
  EXPECT_TRUE(still_answers(server));
}

TEST(Transport, SurvivesManyAbruptDisconnects) {
  const RunningServer server;
  for (int i = 0; i < 200; ++i) {
    RawClient client(server.port);
    if (i % 2) client.send(image_request(kGoodBody).substr(0, static_cast<std::size_t>(i)));
    client.reset();
  }
  EXPECT_TRUE(still_answers(server));
}

TEST(Transport, AddressInUseThrowsUnavailable) {
  const RunningServer server;
  ScriptedEngine engine;
  ServerOptions options;
  options.port = server.port;
  const auto second = make_http_server(engine, options);
  try {
    second->bind();
    FAIL() << "two servers on one port";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnavailable);
    EXPECT_NE(std::string(error.what()).find(concat(server.port)), std::string::npos);
    EXPECT_NE(std::string(error.what()).find("in use"), std::string::npos);
  }
  options.host = "no.such.host.invalid";
  EXPECT_THROW(make_http_server(engine, options)->bind(), Error);
}

}  // namespace
}  // namespace easel::test
