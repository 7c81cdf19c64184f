// Keys, origins and hosts.
#include "http/access/access.h"

#include <gtest/gtest.h>

#include "core/base64.h"
#include "http/wire/http_error.h"

namespace easel::http {
namespace {

using HeaderFields = std::vector<std::pair<std::string, std::string>>;

RequestHead head_with(const std::string& host, const HeaderFields& fields) {
  RequestHead head;
  head.method = "POST";
  head.host = host;
  for (const auto& [name, value] : fields) head.headers.add(name, value);
  return head;
}

// 0: accepted.
int source_status(const AccessRules& rules, const std::string& host, const std::string& origin) {
  try {
    ApiKeys none({}, "");
    const Access access(rules, none);
    const auto head = head_with(host, origin.empty() ? HeaderFields{} : HeaderFields{{"Origin", origin}});
    const auto source = access.source_of(head, "192.0.2.1");
    access.check_origin(head, source);
    access.check_host(source);
  } catch (const HttpFailure& failure) {
    return failure.error().status;
  }
  return 0;
}

HttpError key_refusal(const std::vector<std::string>& keys, const HeaderFields& fields) {
  ApiKeys ring(keys, "");
  try {
    Access({}, ring).identify(head_with("localhost", fields), {.address = "192.0.2.1"});
  } catch (const HttpFailure& failure) {
    return failure.error();
  }
  return {.status = 0};
}

Principal without_keys(const std::string& address, const std::string& host = "localhost:9225",
                       const HeaderFields& fields = {}) {
  ApiKeys none({}, "");
  const Access access({.local_operator = true}, none);
  const auto head = head_with(host, fields);
  return access.identify(head, access.source_of(head, address));
}

// A web page can make its own name stand for the server's address, but not one of these.
TEST(Access, WithoutKeysForeignHostsAreRefused) {
  const AccessRules rules{.own_host = "studio.example", .allowed_hosts = {"pics.example"}};
  for (const char* host : {"localhost",
                           "LOCALHOST:9225",
                           "localhost.",
                           "127.0.0.1",
                           "127.0.0.1:1",
                           "[::1]",
                           "[::1]:9225",
                           "127.8.9.1",
                           "192.168.1.5:9225",
                           "[2001:db8::1]",
                           "",
                           "easel:9225",
                           "a.localhost",
                           "printer.local",
                           "gpu.internal:9225",
                           "gpu.lan",
                           "gpu.home.arpa",
                           "gpu.localdomain",
                           "easel.default.svc",
                           "studio.example:9225",
                           "Pics.Example",
                           "pics.example.:9225"}) {
    EXPECT_EQ(source_status(rules, host, ""), 0) << host;
  }
  for (const char* host : {"evil.example",
                           "evil.example:9225",
                           "evil.example.",
                           "127.0.0.1.evil.example",
                           "localhost.evil.example",
                           "evillocal.example",
                           "a.pics.example",
                           "[::1",
                           "127.1",
                           ".local",
                           ".",
                           "127.0.0.1:9225.evil.example",
                           "localhost:9225.evil.example",
                           "[::1].evil.example",
                           "[::1]evil.example",
                           "[::1]:9225.evil.example",
                           "localhost:99999",
                           "localhost:-1",
                           "localhost:9225:80",
                           "[localhost]",
                           "[127.0.0.1]",
                           "::1",
                           ":9225"}) {
    EXPECT_EQ(source_status(rules, host, ""), 403) << host;
  }
}

TEST(Access, WithKeysNoHostIsRefused) {
  ApiKeys keys({"a-key-that-pages-do-not-know"}, "");
  EXPECT_NO_THROW(Access({}, keys).check_host({.host = "evil.example"}));
}

TEST(Access, RefusalOfAHostNamesTheFlag) {
  ApiKeys none({}, "");
  try {
    Access({}, none).check_host({.host = "pics.example"});
    FAIL();
  } catch (const HttpFailure& failure) {
    EXPECT_NE(failure.error().message.find("--allow-host"), std::string::npos);
    EXPECT_EQ(failure.error().code, "host_not_allowed");
  }
}

TEST(Access, AllowedOriginImpliesAllowedHost) {
  const AccessRules rules{.allowed_origins = {"https://pics.example"}};
  EXPECT_EQ(source_status(rules, "pics.example", "https://pics.example"), 0) << "behind a proxy on this machine";
  EXPECT_EQ(source_status(rules, "pics.example:443", ""), 0);
  EXPECT_EQ(source_status(rules, "pics.example:443.evil.example", ""), 403);
  EXPECT_EQ(source_status(rules, "other.example", "https://pics.example"), 403);
  EXPECT_EQ(source_status({.allowed_origins = {"*"}}, "any.example", ""), 0);
}

TEST(Access, ForeignOriginsAreRefused) {
  const AccessRules rules{.allowed_origins = {"https://chat.example/", "http://localhost:3000"}};
  const std::string host = "localhost:9225";
  for (const char* origin : {"http://localhost:9225", "HTTPS://chat.example", "http://localhost:3000"}) {
    EXPECT_EQ(source_status(rules, host, origin), 0) << origin;
  }
  for (const char* origin :
       {"null", "https://evil.example", "http://localhost", "http://localhost:9226", "https://localhost:9225",
        "http://chat.example", "https://chat.example:8443", "https://chat.example.evil.example",
        "http://localhost:9225.evil.example", "localhost:9225", "file://"}) {
    EXPECT_EQ(source_status(rules, host, origin), 403) << origin;
  }
  EXPECT_EQ(source_status({.allowed_origins = {"*"}}, host, "https://any.example"), 0);
  EXPECT_EQ(source_status({}, "", "http://"), 403) << "a request without a host has no origin of its own";
}

TEST(Access, PagesOfThisMachineMayCallALoopbackServerWithoutKeys) {
  const AccessRules loopback{.own_host = "127.0.0.1"};
  for (const char* origin : {"http://localhost", "http://localhost:3000", "https://LOCALHOST:3000",
                             "http://127.0.0.1:8080", "http://127.8.9.1", "http://[::1]:5173"}) {
    EXPECT_EQ(source_status(loopback, "localhost:9225", origin), 0) << origin;
    EXPECT_EQ(source_status({.own_host = "0.0.0.0"}, "localhost:9225", origin), 403) << origin;
    ApiKeys keys({"key"}, "");
    const Access with_keys(loopback, keys);
    const auto head = head_with("localhost:9225", {{"Origin", origin}});
    EXPECT_THROW(with_keys.check_origin(head, with_keys.source_of(head, "127.0.0.1")), HttpFailure)
        << "with keys, pages have to be allowed: " << origin;
  }
  for (const char* origin :
       {"http://localhost.evil.example", "http://localhost:3000.evil.example", "http://127.0.0.1.evil.example",
        "http://evil.example", "http://[::1].evil.example", "null", "localhost", "ftp://localhost", "file://",
        "http://user@localhost", "http://localhost/", "http://192.168.1.5:3000", "http://0.0.0.0:3000"}) {
    EXPECT_EQ(source_status(loopback, "localhost:9225", origin), 403) << origin;
  }
}

TEST(Access, DefaultPortMayBeLeftOut) {
  const AccessRules rules{.allowed_hosts = {"studio.example"}};
  EXPECT_EQ(source_status(rules, "studio.example", "http://studio.example"), 0);
  EXPECT_EQ(source_status(rules, "studio.example:80", "http://studio.example"), 0);
  EXPECT_EQ(source_status(rules, "studio.example:81", "http://studio.example"), 403);
}

TEST(Access, EveryOriginHeaderIsChecked) {
  const auto head = head_with("localhost", {{"Origin", "http://localhost"}, {"Origin", "https://evil.example"}});
  ApiKeys none({}, "");
  EXPECT_THROW(Access({}, none).check_origin(head, {.host = "localhost"}), HttpFailure);
}

TEST(Access, AnyKeyIsAcceptedWhenNoneIsConfigured) {
  EXPECT_EQ(key_refusal({}, {}).status, 0);
  EXPECT_EQ(key_refusal({}, {{"Authorization", "Bearer "}}).status, 0);
  EXPECT_EQ(key_refusal({}, {{"Authorization", "Basic x"}, {"Authorization", "y"}}).status, 0);
}

TEST(Access, AcceptsBearerAndAzureKeyHeaders) {
  const std::vector<std::string> keys{"first%2B", "second"};
  for (const HeaderFields& fields :
       {HeaderFields{{"Authorization", "Bearer first%2B"}}, HeaderFields{{"authorization", "bearer second"}},
        HeaderFields{{"Authorization", "BEARER  second"}}, HeaderFields{{"api-key", "second"}},
        HeaderFields{{"Api-Key", "second"}, {"Authorization", "Bearer wrong"}}}) {
    EXPECT_EQ(key_refusal(keys, fields).status, 0) << fields[0].second;
  }
}

TEST(Access, TakesThePasswordOfBasicForTheKey) {
  const std::vector<std::string> keys{"se:cret"};
  const auto basic = [](const std::string& text) {
    return HeaderFields{{"Authorization", "Basic " + base64_encode(text)}};
  };
  EXPECT_EQ(key_refusal(keys, basic("ann:se:cret")).status, 0);
  EXPECT_EQ(key_refusal(keys, basic(":se:cret")).status, 0) << "without a user";
  EXPECT_EQ(key_refusal(keys, {{"Authorization", "bAsIc  " + base64_encode("x:se:cret")}}).status, 0);
  for (const char* text : {"se:cret:", "ann:cret", "ann:", "ann", "", "ann:se:cret\n"}) {
    EXPECT_EQ(key_refusal(keys, basic(text)).status, 401) << text;
  }
  EXPECT_EQ(key_refusal({}, {{"Authorization", "Basic "}}).status, 0) << "as Open WebUI sends it without a key";
  EXPECT_EQ(key_refusal(keys, {{"Authorization", "Basic "}}).code, "invalid_api_key");
}

TEST(Access, InvalidKeysReturn401) {
  const std::vector<std::string> keys{"secret"};
  const auto none = key_refusal(keys, {});
  EXPECT_EQ(none.status, 401);
  EXPECT_EQ(none.code, "");
  ASSERT_NE(none.headers.find("www-authenticate"), nullptr);
  for (const HeaderFields& fields :
       {HeaderFields{{"Authorization", "Bearer wrong!"}}, HeaderFields{{"Authorization", "Bearer"}},
        HeaderFields{{"Authorization", "Bearer "}}, HeaderFields{{"Authorization", "Basic secret"}},
        HeaderFields{{"Authorization", "secret"}}, HeaderFields{{"Authorization", ""}},
        HeaderFields{{"Authorization", "Bearer Secret"}}, HeaderFields{{"Authorization", "Bearer secretsecret"}},
        HeaderFields{{"Authorization", "Bearer secre"}}, HeaderFields{{"api-key", ""}},
        HeaderFields{{"api-key", "Bearer secret"}},
        HeaderFields{{"Authorization", "Bearer secret"}, {"Authorization", "Bearer secret"}}}) {
    const auto refusal = key_refusal(keys, fields);
    EXPECT_EQ(refusal.status, 401) << fields[0].second;
    EXPECT_EQ(refusal.code, "invalid_api_key");
    EXPECT_EQ(refusal.message.find("ecret"), std::string::npos) << "a key must not be echoed";
    EXPECT_NE(refusal.headers.find("www-authenticate"), nullptr);
  }
}

TEST(Access, NobodyIsAnOperatorByAddressUnlessAskedFor) {
  ApiKeys none({}, "");
  const auto head = head_with("localhost", {});
  EXPECT_FALSE(Access({}, none).identify(head, {.address = "127.0.0.1", .host = "localhost"}).is_operator);
}

TEST(Access, WithoutKeysOnlyLocalClientsAreOperators) {
  for (const char* address : {"192.0.2.1", "10.0.0.1", "2001:db8::1", "::2", "unknown", "", "fe80::1"}) {
    EXPECT_FALSE(without_keys(address).is_operator) << address;
  }
  EXPECT_TRUE(without_keys("127.0.0.1").is_operator);
  EXPECT_TRUE(without_keys("127.8.9.1", "127.0.0.1").is_operator);
  EXPECT_TRUE(without_keys("::1", "[::1]:9225").is_operator);
  for (const char* host :
       {"pics.example", "", "192.0.2.1", "127.0.0.1:9225.evil.example", "[::1].evil.example", "[::1]evil.example"}) {
    EXPECT_FALSE(without_keys("127.0.0.1", host).is_operator) << host << ", by a proxy on this machine";
  }
  for (const char* field : {"X-Forwarded-For", "forwarded", "X-Real-IP", "Via"}) {
    EXPECT_FALSE(without_keys("127.0.0.1", "localhost", {{field, "127.0.0.1"}}).is_operator) << field;
  }
}

TEST(Access, WithoutKeysTheAddressIsTheAccount) {
  EXPECT_EQ(without_keys("192.0.2.1").account, "192.0.2.1");
  EXPECT_EQ(without_keys("2001:db8:1:2:3:4:5:6").account, "2001:db8:1:2::/64");
  EXPECT_EQ(without_keys("2001:db8:1:2:ffff::").account, "2001:db8:1:2::/64") << "the same network";
  EXPECT_NE(without_keys("2001:db8:1:3::1").account, "2001:db8:1:2::/64");
}

TEST(Access, CheckOperatorReturns403ForOtherPrincipals) {
  ApiKeys keys({"key"}, "");
  const Access access({.local_operator = true}, keys);
  const auto principal = access.identify(head_with("localhost", {{"api-key", "key"}}), {.address = "127.0.0.1"});
  EXPECT_EQ(principal.account, "api-key-1");
  try {
    check_operator(principal, "This");
    FAIL() << "a key makes no client an operator by the address it is sent from";
  } catch (const HttpFailure& failure) {
    EXPECT_EQ(failure.error().status, 403);
    EXPECT_EQ(failure.error().code, "operator_needed");
  }
  EXPECT_NO_THROW(check_operator({.account = "ann", .is_operator = true}, "This"));
}

TEST(Access, PreflightResponseCarriesCorsHeaders) {
  ApiKeys none({}, "");
  const Access access({.allowed_origins = {"https://chat.example"}}, none);
  auto head = head_with("localhost", {{"Origin", "https://chat.example"},
                                      {"Access-Control-Request-Method", "POST"},
                                      {"Access-Control-Request-Headers", "authorization,content-type,x-stainless-os"}});
  EXPECT_FALSE(Access::is_preflight(head)) << "a POST is not a preflight";
  head.method = "OPTIONS";
  ASSERT_TRUE(Access::is_preflight(head));
  auto answer = access.preflight_response(head);
  access.add_cors(head, {.host = "localhost"}, answer);
  EXPECT_EQ(answer.status, 204);
  EXPECT_EQ(*answer.headers.find("access-control-allow-headers"), "authorization,content-type,x-stainless-os");
  EXPECT_EQ(*answer.headers.find("access-control-allow-methods"), "GET, POST, DELETE, OPTIONS");
  EXPECT_EQ(*answer.headers.find("access-control-allow-origin"), "https://chat.example");
  EXPECT_EQ(*answer.headers.find("vary"), "Origin");
  EXPECT_NE(answer.headers.find("access-control-max-age"), nullptr);
}

}  // namespace
}  // namespace easel::http
