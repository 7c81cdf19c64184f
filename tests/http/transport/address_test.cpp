// Authorities as clients write them, and hosts that only this machine can reach.
#include "http/transport/address.h"

#include <gtest/gtest.h>

#include <string>

namespace easel::http {
namespace {

TEST(Authority, IsAHostAndMaybeAPort) {
  struct Case {
    const char* text;
    const char* host;
    const char* port;
    bool is_ipv6;
  };
  for (const auto& [text, host, port, is_ipv6] : {Case{"localhost", "localhost", "", false},
                                                  {"a.example:80", "a.example", "80", false},
                                                  {"127.0.0.1:65535", "127.0.0.1", "65535", false},
                                                  {"a:", "a", "", false},
                                                  {"[::1]", "::1", "", true},
                                                  {"[2001:db8::7]:9225", "2001:db8::7", "9225", true}}) {
    const auto authority = parse_authority(text);
    ASSERT_TRUE(authority) << text;
    EXPECT_EQ(authority->host, host);
    EXPECT_EQ(authority->port, port);
    EXPECT_EQ(authority->is_ipv6, is_ipv6);
  }
}

TEST(Authority, NothingMayBeLeftOver) {
  for (const char* text :
       {"", ":80", "a:b", "a:80.evil.example", "a:80:80", "a:65536", "a:-1", "a:+1", "a: 80", "[::1",
        "[::1].evil.example", "[::1]evil.example", "[::1]]", "[]", "[a]", "[127.0.0.1]", "[::1]:80x", "[::1%lo]"}) {
    EXPECT_FALSE(parse_authority(text)) << text;
  }
}

TEST(Loopback, IsLocalhostAndTheLoopbackAddresses) {
  for (const char* host : {"localhost", "LocalHost", "::1", "127.0.0.1", "127.8.9.1", "127.255.255.255"}) {
    EXPECT_TRUE(is_loopback(host)) << host;
  }
  for (const char* host : {"", "localhost.", "localhost.example", "[::1]", "::2", "0.0.0.0", "::", "128.0.0.1", "127.1",
                           "127.evil.example", "127.0.0.1.evil.example", "127.0.0.1:80"}) {
    EXPECT_FALSE(is_loopback(host)) << host;
  }
}

}  // namespace
}  // namespace easel::http
