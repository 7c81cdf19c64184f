// Reverse proxies, and clients that pretend to be behind one.
#include "http/access/proxies.h"

#include <gtest/gtest.h>

#include "easel/error.h"
#include "http/access/access.h"
#include "http/wire/http_error.h"

namespace easel::http {
namespace {

using HeaderFields = std::vector<std::pair<std::string, std::string>>;

RequestHead proxied_head(const HeaderFields& fields) {
  RequestHead head;
  head.host = "inner:9225";
  for (const auto& [name, value] : fields) head.headers.add(name, value);
  return head;
}

RequestSource source_behind(const std::string& address, const HeaderFields& fields) {
  return TrustedProxies({"10.0.0.0/8", "192.0.2.7", "2001:db8::/32"}).source_of(proxied_head(fields), address);
}

TEST(AddressBlock, ContainsTheAddressesWithItsPrefix) {
  const auto contains = [](const char* block, const char* address) {
    return AddressBlock::parse(block)->contains(address);
  };
  EXPECT_TRUE(contains("10.0.0.0/8", "10.255.0.1"));
  EXPECT_FALSE(contains("10.0.0.0/8", "11.0.0.1"));
  EXPECT_TRUE(contains("192.168.64.0/18", "192.168.127.255"));
  EXPECT_FALSE(contains("192.168.64.0/18", "192.168.128.0"));
  EXPECT_TRUE(contains("192.0.2.7", "192.0.2.7"));
  EXPECT_FALSE(contains("192.0.2.7", "192.0.2.6"));
  EXPECT_TRUE(contains("0.0.0.0/0", "203.0.113.9"));
  EXPECT_FALSE(contains("0.0.0.0/0", "2001:db8::1"));
  EXPECT_TRUE(contains("2001:db8::/33", "2001:db8:7fff::1"));
  EXPECT_FALSE(contains("2001:db8::/33", "2001:db8:8000::1"));
  EXPECT_TRUE(contains("::/0", "2001:db8::1"));
  EXPECT_FALSE(contains("10.0.0.0/8", "unknown"));
  EXPECT_FALSE(contains("10.0.0.0/8", ""));
}

TEST(AddressBlock, OtherTextsAreRejected) {
  for (const char* text : {"", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8/8", "10.0.0.1/8",
                           "10.0.0/8", "2001:db8::/129", "2001:db8::1/32", "localhost", "10.0.0.0/8 ", "[::1]"}) {
    EXPECT_FALSE(AddressBlock::parse(text)) << text;
    EXPECT_THROW(TrustedProxies({text}), Error) << text;
  }
}

TEST(TrustedProxies, HeadersOfOtherClientsDoNotCount) {
  const auto source = source_behind(
      "203.0.113.1",
      {{"X-Forwarded-For", "127.0.0.1"}, {"X-Forwarded-Host", "localhost"}, {"X-Forwarded-Proto", "https"}});
  EXPECT_EQ(source.address, "203.0.113.1");
  EXPECT_EQ(source.host, "inner:9225");
  EXPECT_FALSE(source.https);
  EXPECT_TRUE(source.proxied);
  EXPECT_FALSE(source_behind("203.0.113.1", {}).proxied);
}

TEST(TrustedProxies, ClientIsTheLastAddressThatIsNotAProxy) {
  const auto client = [](const HeaderFields& fields) { return source_behind("10.0.0.1", fields).address; };
  EXPECT_EQ(client({}), "10.0.0.1");
  EXPECT_EQ(client({{"X-Forwarded-For", "203.0.113.1"}}), "203.0.113.1");
  EXPECT_EQ(client({{"X-Forwarded-For", "127.0.0.1, 203.0.113.1"}}), "203.0.113.1") << "the first one is a claim";
  EXPECT_EQ(client({{"X-Forwarded-For", "127.0.0.1, 203.0.113.1, 192.0.2.7, 10.9.9.9"}}), "203.0.113.1");
  EXPECT_EQ(client({{"X-Forwarded-For", "127.0.0.1"}, {"x-forwarded-for", "203.0.113.1"}}), "203.0.113.1");
  EXPECT_EQ(client({{"X-Forwarded-For", "10.0.0.3, 10.0.0.2"}}), "10.0.0.3") << "all of them are proxies";
  EXPECT_EQ(client({{"X-Forwarded-For", "203.0.113.1, unknown"}}), "10.0.0.1") << "what cannot be read ends the chain";
  EXPECT_EQ(client({{"X-Forwarded-For", "203.0.113.1:4711"}}), "203.0.113.1");
  EXPECT_EQ(client({{"X-Forwarded-For", "[2001:db9::1]:4711"}}), "2001:db9::1");
  EXPECT_EQ(client({{"X-Forwarded-For", "2001:db9::1"}}), "2001:db9::1");
}

TEST(TrustedProxies, HostAndSchemeAreThoseOfTheClientsRequest) {
  const auto source =
      source_behind("192.0.2.7", {{"X-Forwarded-Host", "pics.example"}, {"X-Forwarded-Proto", "HTTPS"}});
  EXPECT_EQ(source.host, "pics.example");
  EXPECT_TRUE(source.https);
  EXPECT_FALSE(source_behind("192.0.2.7", {{"X-Forwarded-Proto", "http"}}).https);
  EXPECT_EQ(source_behind("192.0.2.7", {}).host, "inner:9225");
}

TEST(TrustedProxies, PagesOfTheProxysOwnOriginMayCall) {
  ApiKeys none({}, "");
  const Access access({.allowed_hosts = {"pics.example"}, .trusted_proxies = {"192.0.2.7"}, .local_operator = true},
                      none);
  const auto head = proxied_head({{"Origin", "https://pics.example"},
                                  {"X-Forwarded-For", "127.0.0.1"},
                                  {"X-Forwarded-Host", "pics.example"},
                                  {"X-Forwarded-Proto", "https"}});
  const auto source = access.source_of(head, "192.0.2.7");
  EXPECT_NO_THROW(access.check_host(source));
  EXPECT_NO_THROW(access.check_origin(head, source));
  EXPECT_FALSE(access.identify(head, source).is_operator) << "no client of a proxy is local";
  EXPECT_EQ(access.identify(head, source).account, "127.0.0.1");
  EXPECT_THROW(access.check_origin(head, access.source_of(head, "192.0.2.8")), HttpFailure);
}

}  // namespace
}  // namespace easel::http
