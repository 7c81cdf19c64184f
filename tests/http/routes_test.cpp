// Paths as clients build them from a base URL.
#include "http/openai/routes.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

namespace easel::http {
namespace {

struct Case {
  const char* method;
  const char* path;
  const char* name;
  const char* parameter;
};

TEST(Routes, MatchesEverySpelling) {
  const Case cases[] = {
      {"POST", "/v1/images/generations", "/v1/images/generations", ""},
      {"POST", "/images/generations", "/v1/images/generations", ""},
      {"POST", "/v1//images/generations", "/v1/images/generations", ""},
      {"POST", "//v1//images//generations", "/v1/images/generations", ""},
      {"POST", "/v1/images/generations/", "/v1/images/generations", ""},
      {"POST", "/v1/images/generations///", "/v1/images/generations", ""},
      {"POST", "/v1/%69mages/generation%73", "/v1/images/generations", ""},
      {"POST", "/openai/deployments/my%20model/images/generations", "/v1/images/generations", "my%20model"},
      {"POST", "/openai/v1/images/generations", "/v1/images/generations", ""},
      {"POST", "/v1/images/edits", "/v1/images/edits", ""},
      {"POST", "/images/edits/", "/v1/images/edits", ""},
      {"POST", "/openai/deployments/a%20b/images/edits", "/v1/images/edits", "a%20b"},
      {"POST", "/v1/images/variations", "/v1/images/variations", ""},
      {"POST", "/v1/images/upscale", "/v1/images/upscale", ""},
      {"POST", "/images//upscale", "/v1/images/upscale", ""},
      {"GET", "/v1/models", "/v1/models", ""},
      {"GET", "/models/", "/v1/models", ""},
      {"HEAD", "/v1/models", "/v1/models", ""},
      {"GET", "/openai/models", "/v1/models", ""},
      {"GET", "/v1/models/tiny", "/v1/models/{id}", "tiny"},
      {"GET", "/v1/models/a/b%20c", "/v1/models/{id}", "a/b%20c"},
      {"GET", "/v1/models/a%2Fb+c/", "/v1/models/{id}", "a%2Fb+c"},
      {"GET", "/openai/models/x", "/v1/models/{id}", "x"},
      {"GET", "/health", "/health", ""},
      {"GET", "/v1/health/", "/health", ""},
      {"GET", "/ready", "/ready", ""},
      {"GET", "/metrics", "/metrics", ""},
      {"HEAD", "/v1/metrics", "/metrics", ""},
      {"POST", "/v1/models/tiny/load", "/v1/models/{id}/load", "tiny"},
      {"POST", "/models/a%2Fb//load/", "/v1/models/{id}/load", "a%2Fb"},
      {"POST", "/v1/models/a/b/unload", "/v1/models/{id}/unload", "a/b"},
      {"POST", "/v1/models/load/load", "/v1/models/{id}/load", "load"},
      {"POST", "/v1/models/pull", "/v1/models/pull", ""},
      {"POST", "/v1/models/pull/load", "/v1/models/{id}/load", "pull"},
      {"DELETE", "/v1/models/org/a%20b", "/v1/models/{id}", "org/a%20b"},
      {"GET", "/v1/models/a/load", "/v1/models/{id}", "a/load"},
      {"GET", "/v1/models/load", "/v1/models/{id}", "load"},
      {"GET", "/api/v1/models", "/v1/models", ""},
      {"POST", "/api/v1/images/generations", "/v1/images/generations", ""},
      {"POST", "/api/v1/images/edits", "/v1/images/edits", ""},
      {"GET", "/api/tags", "/api/tags", ""},
      {"GET", "/v1/loras", "/v1/loras", ""},
      {"POST", "/v1images/generations", "/v1/images/generations", ""},
      {"POST", "/v1images/edits", "/v1/images/edits", ""},
      {"GET", "/v1models", "/v1/models", ""},
      {"GET", "/v1models/tiny", "/v1/models/{id}", "tiny"},
      {"GET", "/v1/images/files/0a.png", "/v1/images/files/{name}", "0a.png"},
      {"HEAD", "/images/files/0a.webp", "/v1/images/files/{name}", "0a.webp"},
      {"GET", "/", "/v1/", ""},
      {"GET", "/v1", "/v1/", ""},
      {"GET", "/v1/", "/v1/", ""},
  };
  for (const auto& expected : cases) {
    SCOPED_TRACE(expected.path);
    const auto match = find_route(expected.method, expected.path);
    ASSERT_NE(match.route, nullptr);
    EXPECT_STREQ(match.route->name, expected.name);
    EXPECT_EQ(match.parameter, expected.parameter);
  }
}

TEST(Routes, UnknownPathsDoNotMatch) {
  for (const char* path :
       {"/v2/images/generations", "/v1/v1/models", "/v1/images", "/v1/images/generations/x", "/v1/images/edit",
        "/v1/images/upscales", "/v1/image/generations", "/healthz", "/v1/Models", "/../v1/models", "/v1/%2e%2e/models",
        "/openai/deployments/images/generations", "/api/images/generations", "/v1health", "/v1/v1models", "/api/tags/x",
        "/v1/images%2Fgenerations", "/v1%2Fmodels", "/openai"}) {
    const auto match = find_route("GET", path);
    EXPECT_EQ(match.route, nullptr) << path;
    EXPECT_EQ(match.allow, "") << path;
  }
}

TEST(Routes, ReportsAllowedMethods) {
  EXPECT_EQ(find_route("GET", "/v1/images/generations").allow, "POST, OPTIONS");
  EXPECT_EQ(find_route("GET", "/v1/images/generations").route, nullptr);
  EXPECT_EQ(find_route("POST", "/v1/models").allow, "GET, HEAD, OPTIONS");
  EXPECT_EQ(find_route("PUT", "/v1/models/x").allow, "GET, HEAD, DELETE, OPTIONS");
  EXPECT_EQ(find_route("POST", "/v1/models/load").route, nullptr) << "no model is named";
  EXPECT_EQ(find_route("POST", "/v1/models/load").allow, "GET, HEAD, DELETE, OPTIONS");
  EXPECT_EQ(find_route("PATCH", "/v1/models/x/unload").allow, "GET, HEAD, POST, DELETE, OPTIONS");
  EXPECT_EQ(find_route("HEAD", "/v1/images/generations").route, nullptr);
  EXPECT_EQ(find_route("get", "/v1/models").route, nullptr) << "methods are case-sensitive";
}

TEST(Routes, HaveOneCanonicalPath) {
  for (const auto& [path, name] : std::vector<std::pair<const char*, const char*>>{
           {"/v1//models/", "/v1/models"},
           {"/openai/models/a%2Fb", "/v1/models/{id}"},
           {"/openai/deployments/x/images/generations", "/v1/images/generations"},
           {"/images/edits", "/v1/images/edits"},
           {"/v1/images/variations/", "/v1/images/variations"},
           {"/images/upscale", "/v1/images/upscale"},
           {"/health", "/health"}}) {
    const auto* post = find_route("POST", path).route;
    const auto* get = find_route("GET", path).route;
    ASSERT_TRUE(post || get) << path;
    EXPECT_STREQ((post ? post : get)->name, name);
  }
}

TEST(Routes, EveryRowHasAHandlerAndItsOwnMethodAndName) {
  std::set<std::string> names;
  for (const auto& route : routes()) {
    EXPECT_NE(route.handler, nullptr) << route.name;
    EXPECT_TRUE(names.insert(std::string(route.method) + ' ' + route.name).second) << route.name;
  }
}

TEST(Routes, JobsAreReadAndCancelledAtOnePath) {
  const auto read = find_route("GET", "/v1/images/jobs/0123"), cancel = find_route("DELETE", "/images/jobs/0123/");
  ASSERT_TRUE(read.route && cancel.route);
  EXPECT_STREQ(read.route->name, cancel.route->name);
  EXPECT_NE(read.route, cancel.route);
  EXPECT_EQ(cancel.parameter, "0123");
  EXPECT_EQ(cancel.allow, "GET, HEAD, DELETE, OPTIONS");
  EXPECT_FALSE(find_route("POST", "/v1/images/jobs/0123").route);
}

TEST(Routes, OnlyProbesAndLinksNeedNoKeyAndOnlyProbesAreNotLoggedWhenOk) {
  std::set<std::string> open, quiet;
  for (const auto& route : routes()) {
    if (route.auth == Auth::kOpen) open.insert(route.name);
    if (route.logging == Logging::kUnlessOk) quiet.insert(route.name);
  }
  EXPECT_EQ(open, (std::set<std::string>{"/health", "/ready", "/v1/images/files/{name}"}));
  EXPECT_EQ(quiet, (std::set<std::string>{"/health", "/metrics", "/ready"}));
}

TEST(PercentDecode, DecodesOnceAndLeavesTheRest) {
  EXPECT_EQ(percent_decode("a%2Fb%20c"), "a/b c");
  EXPECT_EQ(percent_decode("%252F"), "%2F");
  EXPECT_EQ(percent_decode("%zz%4"), "%zz%4");
  EXPECT_EQ(percent_decode("100%"), "100%");
  EXPECT_EQ(percent_decode("%+1%-1"), "%+1%-1");
  EXPECT_EQ(percent_decode("%00"), std::string(1, '\0'));
  EXPECT_EQ(percent_decode("%c3%A9"), "\xc3\xa9");
}

}  // namespace
}  // namespace easel::http
