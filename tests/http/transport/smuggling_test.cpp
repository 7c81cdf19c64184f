// Requests that two servers in a row could read differently. Each is refused, its connection ends, and what the client
// sends next is never taken for a request.
#include <gtest/gtest.h>

#include <string>
#include <thread>

#include "http/support/running_server.h"

namespace easel::test {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;

const std::string kSmuggled =
    "POST /v1/images/generations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 21\r\n\r\n{\"prompt\":\"smuggled\"}";

std::string post_with(const std::string& fields) {
  return "POST /v1/images/generations HTTP/1.1\r\nHost: localhost\r\n" + fields + "\r\n";
}
std::string get_with(const std::string& fields) {
  return "GET /health HTTP/1.1\r\nHost: localhost\r\n" + fields + "\r\n";
}
std::string chunks(const std::string& body) {
  return post_with("Transfer-Encoding: chunked\r\n") + body;
}

std::string many_fields() {
  std::string fields;
  for (int i = 0; i < 200; ++i) fields += "X-Field: x\r\n";
  return fields;
}

class AmbiguousRequest : public ::testing::TestWithParam<std::string> {};

TEST_P(AmbiguousRequest, EndsItsConnection) {
  RunningServer server;
  for (const bool in_one_segment : {true, false}) {
    RawClient client(server.port);
    if (in_one_segment) {
      client.send(GetParam() + kSmuggled);
    } else {
      client.send(GetParam());
      std::this_thread::sleep_for(20ms);  // what follows comes in a segment of its own
      client.send(kSmuggled);
    }
    const auto response = client.read();
    EXPECT_GE(response.status, 400);
    EXPECT_LT(response.status, 506);
    EXPECT_EQ(response.header("connection"), "close");
    EXPECT_TRUE(client.ended_within(5s)) << "and nothing more is sent";
  }
  EXPECT_TRUE(server.engine.requests().empty());
}

INSTANTIATE_TEST_SUITE_P(
    Framing, AmbiguousRequest,
    ::testing::Values(
        post_with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        post_with("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"),
        post_with("Transfer-Encoding: chunked\r\nContent-Length: abc\r\n"),
        post_with("Transfer-Encoding: chunked\r\nContent-Length: 5, 5\r\n"),
        post_with("Content-Length: 5\r\nContent-Length: 6\r\n"),
        post_with("Content-Length: 5\r\nContent-Length: 5\r\n"), post_with("Content-Length: 5, 5\r\n"),
        post_with("Content-Length: +5\r\n"), post_with("Content-Length: -5\r\n"), post_with("Content-Length: 0x5\r\n"),
        post_with("Content-Length: \r\n"), get_with("Content-Length: abc\r\n"),
        post_with("Transfer-Encoding: gzip, chunked\r\n"), post_with("Transfer-Encoding: chunked, chunked\r\n"),
        post_with("Transfer-Encoding: identity\r\n"), post_with("Transfer-Encoding: xchunked\r\n"),
        post_with("Transfer-Encoding: \r\n"), post_with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        post_with("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n"),
        "POST /v1/images/generations HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"s));

INSTANTIATE_TEST_SUITE_P(
    Heads, AmbiguousRequest,
    ::testing::Values("GET /health\r\n\r\n"s, "GET  /health HTTP/1.1\r\nHost: localhost\r\n\r\n"s,
                      "GET /health HTTP/2.0\r\nHost: localhost\r\n\r\n"s, get_with("No colon\r\n"),
                      get_with("Space : x\r\n"), get_with("Folded: x\r\n y\r\n"), get_with("Nul: x\0y\r\n"s),
                      get_with("Cr: x\ry\r\n"), get_with("Lf: x\ny\r\n"), get_with("Bare: x\n"),
                      get_with("Host: localhost\r\n"), "GET /health HTTP/1.1\r\n\r\n"s, get_with(many_fields()),
                      get_with("Large: " + std::string(60'000, 'x') + "\r\n"),
                      "GET /" + std::string(60'000, 'x') + " HTTP/1.1\r\nHost: localhost\r\n\r\n"));

INSTANTIATE_TEST_SUITE_P(Chunks, AmbiguousRequest,
                         ::testing::Values(chunks("-2\r\n{}\r\n0\r\n\r\n"), chunks("0x2\r\n{}\r\n0\r\n\r\n"),
                                           chunks(" 2\r\n{}\r\n0\r\n\r\n"), chunks("2 junk\r\n{}\r\n0\r\n\r\n"),
                                           chunks("2\n{}\r\n0\r\n\r\n"), chunks("2\r\n{}\n0\r\n\r\n"),
                                           chunks("2;a\nb\r\n{}\r\n0\r\n\r\n"), chunks("2;a\rb\r\n{}\r\n0\r\n\r\n"),
                                           chunks("10000000000000002\r\n{}\r\n0\r\n\r\n"),
                                           chunks("2\r\n{}GET\r\n0\r\n\r\n")));

}  // namespace
}  // namespace easel::test
