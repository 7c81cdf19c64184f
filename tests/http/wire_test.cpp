// The API as clients see it: routes, methods, keys, CORS and responses.
#include <gtest/gtest.h>

#include <cmath>
#include <ctime>
#include <set>

#include "core/base64.h"
#include "easel/image.h"
#include "http/support/running_server.h"

namespace easel::test {
namespace {

TEST(Wire, ReturnsImages) {
  const RunningServer server;
  const auto response = server.draw(R"({"prompt":"a cat","n":3,"seed":41,"size":"40x20","model":"gpt-image-1"})");
  ASSERT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(response.reason, "OK");
  EXPECT_EQ(response.header("content-type"), "application/json; charset=utf-8");
  const auto body = response.json();
  EXPECT_TRUE(body["created"].is_number_integer());
  EXPECT_NEAR(body["created"].get<double>(), std::time(nullptr), 5);
  EXPECT_EQ(body["size"], "40x20");
  EXPECT_EQ(body["seed"], 41);
  ASSERT_EQ(body["data"].size(), 3u);
  const auto request = server.engine.requests().at(0);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(body["data"][i]["b64_json"], base64_encode(encode_png(fake_image(request, i).image)));
    EXPECT_EQ(body["data"][i]["seed"], 41 + i);
  }
}

TEST(Wire, EveryResponseHasTheCommonHeaders) {
  const RunningServer server;
  std::set<std::string> ids;
  for (const auto& response : {server.draw(kImageBody), server.draw("{"), server.get("/nowhere"), server.get("/health"),
                               server.ask("GARBAGE\r\n\r\n"), server.ask(request_text("OPTIONS", "/v1/models"))}) {
    EXPECT_TRUE(ids.insert(response.header("x-request-id")).second) << "unique";
    EXPECT_EQ(response.header("openai-version"), "2020-10-01");
    EXPECT_EQ(response.header("x-content-type-options"), "nosniff");
    EXPECT_TRUE(response.has("date"));
    EXPECT_NO_THROW(std::stod(response.header("openai-processing-ms")));
  }
}

TEST(Wire, ValidRequestIdIsEchoed) {
  const RunningServer server;
  EXPECT_EQ(server.get("/health", {{"X-Request-Id", "trace-1.2:3_4"}}).header("x-request-id"), "trace-1.2:3_4");
  for (const std::string& id : {std::string(), std::string("two words"), std::string("caf\xc3\xa9"),
                                std::string(129, 'x'), std::string("<b>")}) {
    EXPECT_EQ(server.get("/health", {{"X-Request-Id", id}}).header("x-request-id").substr(0, 4), "req_") << id;
  }
}

TEST(Wire, AcceptsTheContentTypesOfJson) {
  const RunningServer server;
  for (const char* type :
       {"application/json", "application/json; charset=utf-8", "Application/JSON", "application/json;charset=UTF-8"}) {
    EXPECT_EQ(server.ask(request_text("POST", "/v1/images/generations", kImageBody, {{"Content-Type", type}})).status,
              200)
        << type;
  }
  EXPECT_EQ(server.ask(request_text("POST", "/v1/images/generations", kImageBody)).status, 200) << "without any";
  for (const char* type :
       {"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonx"}) {
    const auto response =
        server.ask(request_text("POST", "/v1/images/generations", kImageBody, {{"Content-Type", type}}));
    EXPECT_EQ(response.status, 400) << type;
    EXPECT_EQ(error_of(response)["code"], "unsupported_content_type");
  }
}

TEST(Wire, RefusesCompressedBodies) {
  const RunningServer server;
  const auto response = server.draw("\x1f\x8b\x08", {{"Content-Encoding", "gzip"}});
  EXPECT_EQ(response.status, 415);
  EXPECT_EQ(response.header("accept-encoding"), "identity");
  EXPECT_EQ(server.draw(kImageBody, {{"Content-Encoding", "identity"}}).status, 200);
}

TEST(Wire, ServesEverySpellingOfAPath) {
  const RunningServer server({}, {}, {tiny_model("tiny"), tiny_model("other model")});
  for (const char* path :
       {"/v1/images/generations", "/images/generations", "/v1//images/generations", "/v1/images/generations/",
        "/v1/images/generations?api-version=2025-04-01-preview", "http://localhost/v1/images/generations",
        "/openai/deployments/tiny/images/generations?api-version=1"}) {
    EXPECT_EQ(server.ask(request_text("POST", path, kImageBody)).status, 200) << path;
  }
  server.ask(request_text("POST", "/openai/deployments/other%20model/images/generations", kImageBody));
  EXPECT_EQ(server.engine.requests().back().model, "other model");
  EXPECT_EQ(server.ask(request_text("POST", "/openai/deployments/nope/images/generations", kImageBody)).status, 400);
}

TEST(Wire, WrongMethodsAndPathsReturnJsonErrors) {
  const RunningServer server;
  for (const char* method : {"GET", "PUT", "DELETE", "PATCH", "TRACE", "HEAD", "BREW"}) {
    const auto response = server.ask(request_text(method, "/v1/images/generations"));
    EXPECT_EQ(response.status, 405) << method;
    EXPECT_EQ(response.header("allow"), "POST, OPTIONS");
    if (std::string(method) != "HEAD") {
      EXPECT_EQ(error_of(response)["type"], "invalid_request_error");
    }
  }
  const auto post = server.ask(request_text("POST", "/v1/models", kImageBody));
  EXPECT_EQ(post.status, 405);
  EXPECT_EQ(post.header("allow"), "GET, HEAD, OPTIONS");
  for (const char* path : {"/v1/images", "/v1/images/edit", "/v2/models", "/favicon.ico", "/v1/%2e%2e/etc/passwd"}) {
    const auto response = server.ask(request_text("POST", path, kImageBody));
    EXPECT_EQ(response.status, 404) << path;
    EXPECT_TRUE(error_of(response)["code"].is_null());
    const auto message = error_of(response)["message"].get<std::string>();
    EXPECT_NE(message.find("POST"), std::string::npos);
    EXPECT_NE(message.find(path), std::string::npos);
  }
}

TEST(Wire, HeadHasTheHeadersOfGet) {
  const RunningServer server;
  for (const char* path : {"/v1/models", "/v1/models/tiny", "/health", "/ready", "/v1/"}) {
    RawClient client(server.port);
    const auto get = client.exchange(request_text("GET", path));
    const auto head = client.exchange(request_text("HEAD", path));
    EXPECT_EQ(head.status, 200);
    EXPECT_EQ(head.header("content-length"), get.header("content-length")) << path;
    EXPECT_EQ(head.header("content-type"), get.header("content-type"));
    EXPECT_EQ(client.exchange(request_text("GET", path)).status, 200) << "the response to HEAD has no body";
  }
}

TEST(Wire, ListsModels) {
  const RunningServer server({}, {}, {tiny_model("tiny"), tiny_model("org/a b"), tiny_model("odd\xff")});
  const auto list = server.get("/v1/models?type=image").json();
  EXPECT_EQ(list["object"], "list");
  ASSERT_EQ(list["data"].size(), 3u);
  EXPECT_EQ(list["data"][0]["id"], "tiny");
  EXPECT_EQ(list["data"][0]["object"], "model");
  EXPECT_EQ(list["data"][0]["created"], 1700000000);
  EXPECT_EQ(list["data"][0]["owned_by"], "easel");
  EXPECT_EQ(list["data"][0]["licence"], "test-licence");
  EXPECT_EQ(list["data"][0]["native_size"], "24x16");
  EXPECT_EQ(list["data"][0]["modes"], nlohmann::json({"text-to-image", "image-to-image", "inpainting"}));
  EXPECT_EQ(list["data"][2]["id"], "odd\xEF\xBF\xBD");
}

TEST(Wire, ModelReportsItsMemoryNeeds) {
  auto model = tiny_model("tiny");
  model.parameters = 10;
  model.components = {{.name = "unet",
                       .parameters = 10,
                       .stored_bytes = {{"float16", 18}, {"float32", 4}},
                       .memory_bytes = {{"float32", 40}}}};
  model.activations = {
      {.width = 24, .height = 16, .step_bytes = {{1, 100}, {2, 200}, {16, 1600}}, .decode_bytes = 300}};
  const RunningServer server({}, {}, {model});
  const auto object = server.get("/v1/models/tiny").json();
  EXPECT_EQ(object["parameters"], 10);
  EXPECT_EQ(object["weights"].dump(), R"([{"component":"unet","memory_bytes":{"float32":40},"parameters":10,)"
                                      R"("stored_bytes":{"float16":18,"float32":4}}])");
  EXPECT_EQ(object["activations"].dump(),
            R"([{"decode_bytes":300,"size":"24x16","step_bytes":{"1":100,"16":1600,"2":200}}])");
}

TEST(Wire, ModelIdAcceptsEveryEncoding) {
  const RunningServer server({}, {}, {tiny_model("tiny"), tiny_model("org/a b"), tiny_model("a+b")});
  for (const char* path :
       {"/v1/models/org%2Fa%20b", "/v1/models/org/a%20b", "/v1/models/org%2Fa+b", "/models/org/a%20b/"}) {
    EXPECT_EQ(server.get(path, {{"Content-Type", "application/json"}}).json()["id"], "org/a b") << path;
  }
  EXPECT_EQ(server.get("/v1/models/a+b").json()["id"], "a+b");
  EXPECT_EQ(server.get("/openai/models/tiny").json()["id"], "tiny");
  for (const char* path : {"/v1/models/nope", "/v1/models/org%252Fa%20b", "/v1/models/..", "/v1/models/tiny/x"}) {
    const auto response = server.get(path);
    EXPECT_EQ(response.status, 404) << path;
    EXPECT_EQ(error_of(response)["code"], "model_not_found");
    EXPECT_EQ(error_of(response)["param"], "model");
  }
  EXPECT_EQ(server.get("/v1/models/tiny%00").status, 400);
}

TEST(Wire, OpenAiModelNamesResolveInModelRoutes) {
  const RunningServer server({}, {}, {tiny_model("tiny"), tiny_model("dall-e-3")});
  for (const char* name : {"dall-e-2", "gpt-image-1", "gpt-image-2-2026-04-21", "chatgpt-image-latest", "dall-e-3"}) {
    const auto response = server.get(std::string("/v1/models/") + name);
    EXPECT_EQ(response.status, 200) << name;
    EXPECT_EQ(response.json()["id"], name) << "the name asked for";
    EXPECT_EQ(response.json()["family"], "stable-diffusion");
  }
  for (const char* name : {"dall-e", "gpt-4", "DALL-E-2", "chatgpt-image-latest2", "stable-diffusion"}) {
    EXPECT_EQ(server.get(std::string("/v1/models/") + name).status, 404) << name;
  }
  EXPECT_EQ(server.get("/v1/models").json()["data"].size(), 2u) << "they are not listed";
}

TEST(Wire, RootDescribesTheServer) {
  const RunningServer server({.version = "1.2.3"});
  for (const char* path : {"/", "/v1", "/v1/"}) {
    const auto body = server.get(path).json();
    EXPECT_EQ(body["name"], "easel");
    EXPECT_EQ(body["version"], "1.2.3");
    EXPECT_EQ(body["links"]["models"], "/v1/models");
  }
}

TEST(Wire, KeysAreCheckedBeforeBodies) {
  const RunningServer server({.api_keys = {"key"}});
  const auto none = server.draw("{");
  EXPECT_EQ(none.status, 401);
  EXPECT_TRUE(none.has("www-authenticate"));
  EXPECT_TRUE(error_of(none)["code"].is_null());
  EXPECT_EQ(error_of(server.draw("{", {{"Authorization", "Bearer wrong"}}))["code"], "invalid_api_key");
  EXPECT_EQ(server.draw("{", {{"Authorization", "bearer key"}}).status, 400);
  EXPECT_EQ(server.draw(kImageBody, {{"api-key", "key"}}).status, 200);
  EXPECT_EQ(server.get("/v1/models").status, 401);
}

TEST(Wire, ForeignOriginsAndHostsAreRejectedEarly) {
  const RunningServer server;
  for (const Fields& fields :
       {Fields{{"Origin", "https://evil.example"}}, Fields{{"Origin", "null"}}, Fields{{"Host", "evil.example"}}}) {
    const auto response = server.draw(kImageBody, fields);
    EXPECT_EQ(response.status, 403);
    EXPECT_EQ(error_of(response).size(), 4u);
    EXPECT_FALSE(response.has("access-control-allow-origin"));
  }
  EXPECT_EQ(server
                .ask(request_text("OPTIONS", "/v1/images/generations", "",
                                  {{"Origin", "https://evil.example"}, {"Access-Control-Request-Method", "POST"}}))
                .status,
            403);
  EXPECT_TRUE(server.engine.requests().empty());
  const auto own = "localhost:" + std::to_string(server.port);
  EXPECT_EQ(server.draw(kImageBody, {{"Host", own}, {"Origin", "http://" + own}}).status, 200);
}

TEST(Wire, AllowedOriginsGetCorsHeadersOnErrorsToo) {
  const RunningServer server({.api_keys = {"key"}, .allowed_origins = {"https://chat.example"}});
  const Fields origin = {{"Origin", "https://chat.example"}};
  auto preflight = origin;
  preflight.emplace_back("Access-Control-Request-Method", "POST");
  preflight.emplace_back("Access-Control-Request-Headers", "authorization,content-type,x-stainless-os");
  const auto asked = server.ask(request_text("OPTIONS", "/v1/images/generations", "", preflight));
  EXPECT_EQ(asked.status, 204) << "without a key";
  EXPECT_EQ(asked.header("access-control-allow-headers"), "authorization,content-type,x-stainless-os");
  EXPECT_EQ(asked.header("access-control-allow-methods"), "GET, POST, DELETE, OPTIONS");
  EXPECT_TRUE(asked.has("access-control-max-age"));
  EXPECT_FALSE(asked.has("content-length"));
  auto with_key = origin;
  with_key.emplace_back("Authorization", "Bearer key");
  for (const auto& response :
       {asked, server.draw(kImageBody, origin), server.draw("{", with_key), server.draw(kImageBody, with_key),
        server.get("/nowhere", origin), server.get("/v1/images/generations", with_key)}) {
    EXPECT_EQ(response.header("access-control-allow-origin"), "https://chat.example") << response.status;
    EXPECT_EQ(response.header("vary"), "Origin");
    EXPECT_NE(response.header("access-control-expose-headers").find("x-request-id"), std::string::npos);
  }
}

TEST(Wire, OptionsWithoutOriginReturnsAllow) {
  const RunningServer server({.api_keys = {"key"}});
  const auto response = server.ask(request_text("OPTIONS", "/v1/images/generations"));
  EXPECT_EQ(response.status, 204);
  EXPECT_EQ(response.header("allow"), "POST, OPTIONS");
  EXPECT_EQ(server.ask(request_text("OPTIONS", "*")).status, 204);
  EXPECT_EQ(server.ask(request_text("OPTIONS", "/nowhere")).status, 404);
}

TEST(Wire, EngineErrorsMapToStatusAndCode) {
  RunningServer server;
  server.engine.fail_submit(Error(ErrorCode::kResourceExhausted, "64 requests wait already"));
  const auto full = server.draw(kImageBody);
  EXPECT_EQ(full.status, 429);
  EXPECT_EQ(error_of(full)["code"], "rate_limit_exceeded");
  EXPECT_TRUE(full.has("retry-after"));
  server.engine.fail_submit(Error(ErrorCode::kUnavailable, "draining"));
  EXPECT_EQ(server.draw(kImageBody).status, 503);
  server.engine.fail_submit(std::nullopt);

  server.engine.fail_generation(Error(ErrorCode::kResourceExhausted, "out of memory at 2048x2048"));
  const auto memory = server.draw(kImageBody);
  EXPECT_EQ(memory.status, 500);
  EXPECT_EQ(memory.header("x-should-retry"), "false");
  server.engine.fail_generation(Error(ErrorCode::kInternal, "/root/secret.cpp: assertion"));
  const auto bug = server.draw(kImageBody);
  EXPECT_EQ(bug.status, 500);
  EXPECT_EQ(bug.body.find("secret"), std::string::npos);
  server.engine.fail_generation(Error(ErrorCode::kInvalidArgument, "clip_skip is too large", "clip_skip"));
  EXPECT_EQ(error_of(server.draw(kImageBody))["param"], "clip_skip");
  server.engine.fail_generation(std::nullopt);
  EXPECT_EQ(server.draw(kImageBody).status, 200);
}

}  // namespace
}  // namespace easel::test
