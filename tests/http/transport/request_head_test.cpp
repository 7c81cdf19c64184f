// Heads as clients, proxies and attackers send them.
#include "http/transport/request_head.h"

#include <gtest/gtest.h>

#include "core/text.h"
#include "http/transport/protocol_error.h"

namespace easel::http {
namespace {

using namespace std::string_literals;

RequestHead parse(const std::string& text) {
  HeadScanner scanner;
  const auto end = scanner.find_end(text);
  if (!end) throw std::runtime_error("no end found");
  return parse_request_head(std::string_view(text).substr(0, *end));
}

// The status of the error; it must end the connection.
int head_refusal(const std::string& text) {
  try {
    parse(text);
  } catch (const ProtocolError& failure) {
    EXPECT_TRUE(failure.reason().close) << text;
    return failure.reason().status;
  }
  return 0;
}

std::string get_with(const std::string& fields) {
  return "GET / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n";
}

TEST(RequestHead, ParsesAnOrdinaryRequest) {
  const auto head = parse(
      "POST /v1/images/generations?api-version=1 HTTP/1.1\r\nhOST: localhost:9225\r\n"
      "Content-Type:application/json\r\nX-Empty:\r\nX-Spaced: \t a b \t\r\nContent-Length: 12\r\n\r\n");
  EXPECT_EQ(head.method, "POST");
  EXPECT_EQ(head.path, "/v1/images/generations");
  EXPECT_EQ(head.host, "localhost:9225");
  EXPECT_EQ(*head.headers.find("content-type"), "application/json");
  EXPECT_EQ(*head.headers.find("X-EMPTY"), "");
  EXPECT_EQ(*head.headers.find("x-spaced"), "a b");
  EXPECT_EQ(head.body_bytes, 12u);
  EXPECT_TRUE(head.has_body());
  EXPECT_FALSE(head.chunked);
  EXPECT_TRUE(head.keep_alive);
}

TEST(RequestHead, KeepsHeaderValuesAsSent) {
  EXPECT_EQ(*parse(get_with("Authorization: Bearer a%2Bb+c\r\n")).headers.find("authorization"), "Bearer a%2Bb+c");
}

TEST(RequestHead, TakesThePathFromEveryTargetForm) {
  EXPECT_EQ(parse("GET http://other:1/v1/models?x HTTP/1.1\r\nHost: a\r\n\r\n").path, "/v1/models");
  EXPECT_EQ(parse("GET http://other:1/v1/models HTTP/1.1\r\nHost: a\r\n\r\n").host, "other:1");
  EXPECT_EQ(parse("GET HTTPS://other HTTP/1.1\r\nHost: a\r\n\r\n").path, "/");
  EXPECT_EQ(parse("GET http://other?q HTTP/1.1\r\nHost: a\r\n\r\n").path, "/");
  EXPECT_EQ(parse("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").path, "*");
  EXPECT_EQ(parse("GET /a%2Fb HTTP/1.1\r\nHost: a\r\n\r\n").path, "/a%2Fb");
}

TEST(RequestHead, RejectsMalformedRequestLines) {
  for (const std::string line :
       {"GET", "GET /", "GET  / HTTP/1.1", "GET / HTTP/1.1 ", " GET / HTTP/1.1", "GET / http/1.1", "GET / HTTP/11",
        "GET / HTTP/1", "G@T / HTTP/1.1", "GET v1/models HTTP/1.1", "GET * HTTP/1.1", "GET /a b HTTP/1.1",
        "GET /a\tb HTTP/1.1", "GET /a\x01 HTTP/1.1", "CONNECT host:443 HTTP/1.1", "GET http:///x HTTP/1.1",
        "GET file:///etc HTTP/1.1"}) {
    EXPECT_EQ(head_refusal(line + "\r\nHost: a\r\n\r\n"), 400) << line;
  }
  EXPECT_EQ(head_refusal(std::string(33, 'M') + " / HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(head_refusal("PRI * HTTP/2.0\r\n\r\n"), 505);
  EXPECT_EQ(head_refusal("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), 505);
  EXPECT_EQ(head_refusal("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"s), 400);
}

TEST(RequestHead, RefusesMalformedFields) {
  for (const std::string field : {"Name : value", "Na me: value", "no colon", ": value", " folded: x", "\tfolded",
                                  "A: b\r\n folded", "A: b\x01", "A: b\x7f", "N\xc3\xa4me: value", "A: b\rc"}) {
    EXPECT_EQ(head_refusal(get_with(field + "\r\n")), 400) << field;
  }
  EXPECT_EQ(head_refusal(get_with("A: b\0c\r\n"s)), 400);
  EXPECT_EQ(*parse(get_with("A: caf\xc3\xa9\r\n")).headers.find("a"), "caf\xc3\xa9");
}

TEST(RequestHead, RequiresExactlyOneHost) {
  EXPECT_EQ(head_refusal("GET / HTTP/1.1\r\n\r\n"), 400);
  EXPECT_EQ(head_refusal("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(head_refusal("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"), 400);
  EXPECT_EQ(head_refusal("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), 400);
  EXPECT_EQ(head_refusal("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n"), 400);
  EXPECT_EQ(head_refusal("GET http://localhost:80@b/ HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(parse("GET / HTTP/1.0\r\n\r\n").host, "");
}

TEST(RequestHead, RejectsAmbiguousBodyLength) {
  for (const std::string fields :
       {"Content-Length: 5\r\nTransfer-Encoding: chunked", "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5\r\nContent-Length: 5", "Content-Length: 5, 5", "Content-Length: -5", "Content-Length: +5",
        "Content-Length: 0x5", "Content-Length:", "Content-Length: 5 5", "Content-Length: five",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"}) {
    EXPECT_EQ(head_refusal(get_with(fields + "\r\n")), 400) << fields;
  }
  EXPECT_EQ(head_refusal("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
  for (const std::string coding : {"gzip", "gzip, chunked", "chunked, chunked", "identity", "xchunked", ""}) {
    EXPECT_EQ(head_refusal(get_with("Transfer-Encoding: " + coding + "\r\n")), 501) << coding;
  }
  EXPECT_EQ(head_refusal(get_with("Content-Length: 99999999999999999999\r\n")), 413);
  EXPECT_EQ(parse(get_with("Content-Length: 18446744073709551615\r\n")).body_bytes, 18446744073709551615u);
  EXPECT_TRUE(parse(get_with("Transfer-Encoding: Chunked\r\n")).chunked);
}

TEST(RequestHead, DeterminesKeepAlive) {
  EXPECT_TRUE(parse(get_with("")).keep_alive);
  EXPECT_FALSE(parse(get_with("Connection: Close\r\n")).keep_alive);
  EXPECT_FALSE(parse(get_with("Connection: keep-alive, close\r\n")).keep_alive);
  EXPECT_FALSE(parse(get_with("Connection: keep-alive\r\nConnection: close\r\n")).keep_alive);
  EXPECT_FALSE(parse("GET / HTTP/1.0\r\n\r\n").keep_alive);
  EXPECT_TRUE(parse("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").keep_alive);
}

TEST(RequestHead, AcceptsOnly100Continue) {
  EXPECT_TRUE(parse(get_with("Content-Length: 1\r\nExpect: 100-Continue\r\n")).expects_continue);
  EXPECT_FALSE(parse(get_with("Expect: 100-continue\r\n")).expects_continue) << "there is no body to wait for";
  EXPECT_EQ(head_refusal(get_with("Expect: a-miracle\r\n")), 417);
  EXPECT_FALSE(parse("POST / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n").expects_continue);
}

TEST(RequestHead, HeadSizeAndFieldCountAreBounded) {
  EXPECT_EQ(head_refusal("GET /" + std::string(65536, 'a')), 414);
  EXPECT_EQ(head_refusal("GET /" + std::string(65536, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n"), 414);
  EXPECT_EQ(head_refusal(get_with("A: " + std::string(65536, 'a') + "\r\n")), 431);
  std::string many;
  for (int i = 0; i < 200; ++i) many += concat("A", i, ": b\r\n");
  EXPECT_EQ(head_refusal(get_with(many)), 431);
  EXPECT_EQ(parse("GET /" + std::string(8000, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n").path.size(), 8001u);
}

TEST(HeadScanner, FindsTheEndAcrossAnySplit) {
  const std::string text = "GET / HTTP/1.1\r\nHost: a\r\n\r\nbody";
  HeadScanner scanner;
  for (std::size_t length = 1; length < text.size() - 4; ++length) {
    EXPECT_FALSE(scanner.find_end(text.substr(0, length))) << length;
  }
  EXPECT_EQ(scanner.find_end(text), text.size() - 4);
}

TEST(HeadScanner, RejectsOtherProtocolsAtTheFirstByte) {
  EXPECT_EQ(head_refusal("\x16\x03\x01\x02"), 400) << "a TLS hello";
  EXPECT_EQ(head_refusal("\0\0"s), 400);
  EXPECT_EQ(head_refusal("{\"prompt\""), 400);
}

TEST(HeadScanner, RefusesBareLineFeeds) {
  EXPECT_EQ(head_refusal("GET / HTTP/1.1\nHost: a\n\n"), 400);
  EXPECT_EQ(head_refusal("GET / HTTP/1.1\r\nHost: a\n\r\n"), 400);
}

}  // namespace
}  // namespace easel::http
