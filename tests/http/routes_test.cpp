// Paths as clients build them from a base URL.
#include "http/openai/routes.h"

#include <gtest/gtest.h>

namespace easel::http {
namespace {

struct Case {
  const char* method;
  const char* path;
  Endpoint endpoint;
  const char* parameter;
};

TEST(Routes, MatchesEverySpelling) {
  const Case cases[] = {
      {"POST", "/v1/images/generations", Endpoint::kGenerations, ""},
      {"POST", "/images/generations", Endpoint::kGenerations, ""},
      {"POST", "/v1//images/generations", Endpoint::kGenerations, ""},
      {"POST", "//v1//images//generations", Endpoint::kGenerations, ""},
      {"POST", "/v1/images/generations/", Endpoint::kGenerations, ""},
      {"POST", "/v1/images/generations///", Endpoint::kGenerations, ""},
      {"POST", "/v1/%69mages/generation%73", Endpoint::kGenerations, ""},
      {"POST", "/openai/deployments/my%20model/images/generations", Endpoint::kGenerations, "my%20model"},
      {"POST", "/openai/v1/images/generations", Endpoint::kGenerations, ""},
      {"POST", "/v1/images/edits", Endpoint::kEdits, ""},
      {"POST", "/images/edits/", Endpoint::kEdits, ""},
      {"POST", "/openai/deployments/a%20b/images/edits", Endpoint::kEdits, "a%20b"},
      {"POST", "/v1/images/variations", Endpoint::kVariations, ""},
      {"POST", "/v1/images/upscale", Endpoint::kUpscale, ""},
      {"POST", "/images//upscale", Endpoint::kUpscale, ""},
      {"GET", "/v1/models", Endpoint::kModels, ""},
      {"GET", "/models/", Endpoint::kModels, ""},
      {"HEAD", "/v1/models", Endpoint::kModels, ""},
      {"GET", "/openai/models", Endpoint::kModels, ""},
      {"GET", "/v1/models/tiny", Endpoint::kModel, "tiny"},
      {"GET", "/v1/models/a/b%20c", Endpoint::kModel, "a/b%20c"},
      {"GET", "/v1/models/a%2Fb+c/", Endpoint::kModel, "a%2Fb+c"},
      {"GET", "/openai/models/x", Endpoint::kModel, "x"},
      {"GET", "/health", Endpoint::kHealth, ""},
      {"GET", "/v1/health/", Endpoint::kHealth, ""},
      {"GET", "/ready", Endpoint::kReady, ""},
      {"GET", "/metrics", Endpoint::kMetrics, ""},
      {"HEAD", "/v1/metrics", Endpoint::kMetrics, ""},
      {"POST", "/v1/models/tiny/load", Endpoint::kLoadModel, "tiny"},
      {"POST", "/models/a%2Fb//load/", Endpoint::kLoadModel, "a%2Fb"},
      {"POST", "/v1/models/a/b/unload", Endpoint::kUnloadModel, "a/b"},
      {"POST", "/v1/models/load/load", Endpoint::kLoadModel, "load"},
      {"GET", "/v1/models/a/load", Endpoint::kModel, "a/load"},
      {"GET", "/v1/models/load", Endpoint::kModel, "load"},
      {"GET", "/", Endpoint::kRoot, ""},
      {"GET", "/v1", Endpoint::kRoot, ""},
      {"GET", "/v1/", Endpoint::kRoot, ""},
  };
  for (const auto& expected : cases) {
    SCOPED_TRACE(expected.path);
    const auto match = find_route(expected.method, expected.path);
    ASSERT_NE(match.route, nullptr);
    EXPECT_EQ(match.route->endpoint, expected.endpoint);
    EXPECT_EQ(match.parameter, expected.parameter);
  }
}

TEST(Routes, UnknownPathsDoNotMatch) {
  for (const char* path :
       {"/v2/images/generations", "/v1/v1/models", "/v1/images", "/v1/images/generations/x", "/v1/images/edit",
        "/v1/images/upscales", "/v1/image/generations", "/healthz", "/v1/Models", "/../v1/models", "/v1/%2e%2e/models",
        "/openai/deployments/images/generations", "/v1/images%2Fgenerations", "/v1%2Fmodels", "/openai"}) {
    const auto match = find_route("GET", path);
    EXPECT_EQ(match.route, nullptr) << path;
    EXPECT_EQ(match.allow, "") << path;
  }
}

TEST(Routes, ReportsAllowedMethods) {
  EXPECT_EQ(find_route("GET", "/v1/images/generations").allow, "POST, OPTIONS");
  EXPECT_EQ(find_route("GET", "/v1/images/generations").route, nullptr);
  EXPECT_EQ(find_route("POST", "/v1/models").allow, "GET, HEAD, OPTIONS");
  EXPECT_EQ(find_route("DELETE", "/v1/models/x").allow, "GET, HEAD, OPTIONS");
  EXPECT_EQ(find_route("POST", "/v1/models/load").route, nullptr) << "no model is named";
  EXPECT_EQ(find_route("POST", "/v1/models/load").allow, "GET, HEAD, OPTIONS");
  EXPECT_EQ(find_route("DELETE", "/v1/models/x/unload").allow, "GET, HEAD, POST, OPTIONS");
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
    EXPECT_STREQ(canonical_path((post ? post : get)->endpoint), name);
  }
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
