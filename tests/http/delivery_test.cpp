// What clients get and where they find it, over sockets: links, formats, names of models, the first page.
#include <gtest/gtest.h>

#include <string>

#include "core/base64.h"
#include "core/text.h"
#include "easel/image_file.h"
#include "http/support/form_text.h"
#include "http/support/running_server.h"
#include "support/image_files.h"

namespace easel::test {
namespace {

std::string draw_body(nlohmann::json fields) {
  fields.emplace("prompt", "a cat");
  fields.emplace("seed", 5);
  return fields.dump();
}

nlohmann::json first_item(const RunningServer& server, const nlohmann::json& fields) {
  const auto response = server.draw(draw_body(fields));
  EXPECT_EQ(response.status, 200) << response.body;
  return response.json()["data"][0];
}

std::string path_of(const std::string& url) {
  return url.substr(url.find('/', url.find("://") + 3));
}

TEST(Delivery, TheKeysOfAnImageFollowTheRequest) {
  const RunningServer server({}, {}, {tiny_model("tiny"), tiny_model("dall-e-3")});
  struct Case {
    nlohmann::json fields;
    bool base64, link;
  };
  const Case cases[] = {{{{"response_format", "b64_json"}}, true, false},
                        {{{"response_format", "url"}}, false, true},
                        {{{"response_format", "b64_json"}, {"model", "dall-e-2"}}, true, false},
                        {{{"response_format", "url"}, {"model", "gpt-image-1"}}, false, true},
                        {nlohmann::json::object(), true, true},
                        {{{"model", nullptr}}, true, true},
                        {{{"model", ""}}, true, true},
                        {{{"model", "dall-e-2"}}, true, true},
                        {{{"model", "dall-e-3"}}, true, true},
                        {{{"model", "gpt-image-1"}}, true, false},
                        {{{"model", "chatgpt-image-latest"}}, true, false},
                        {{{"model", "tiny"}}, true, false}};
  for (const auto& [fields, base64, link] : cases) {
    const auto item = first_item(server, fields);
    EXPECT_EQ(item.contains("b64_json"), base64) << fields.dump();
    EXPECT_EQ(item.contains("url"), link) << fields.dump();
  }
  const auto azure = server.ask(request_text("POST", "/openai/deployments/dall-e-3/images/generations", draw_body({})));
  EXPECT_FALSE(azure.json()["data"][0].contains("url")) << "a deployment names the model";
}

TEST(Delivery, LinksServeTheImage) {
  const RunningServer server({.api_keys = {"key"}});
  const Fields key = {{"Authorization", "Bearer key"}};
  const auto base64 =
      server.draw(draw_body({{"response_format", "b64_json"}}), key).json()["data"][0]["b64_json"].get<std::string>();
  const auto url =
      server.draw(draw_body({{"response_format", "url"}}), key).json()["data"][0]["url"].get<std::string>();
  EXPECT_TRUE(url.starts_with("http://localhost/v1/images/files/")) << url;
  EXPECT_TRUE(url.ends_with(".png"));
  for (const Fields& fields : {Fields{}, key, Fields{{"Authorization", "Bearer other"}}}) {
    const auto file = server.get(path_of(url), fields);
    ASSERT_EQ(file.status, 200) << "with any key or none";
    EXPECT_EQ(file.header("content-type"), "image/png");
    EXPECT_EQ(file.header("cache-control"), "private, immutable");
    EXPECT_EQ(base64_encode(file.body), base64);
  }
  const auto head = RawClient(server.port).exchange(request_text("HEAD", path_of(url)));
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.header("content-type"), "image/png");
  EXPECT_EQ(head.header("content-length"), std::to_string(base64_decode(base64)->size()));
  const auto id = url.substr(url.size() - 36, 32);
  for (const auto& name : {id, id + ".jpg", id + ".png.png", "0" + id.substr(1) + "0.png",
                           std::string(32, '0') + ".png", std::string("%00.png"), std::string("..%2f..%2fetc")}) {
    const auto missing = server.get("/v1/images/files/" + name);
    EXPECT_EQ(missing.status, 404) << name;
    EXPECT_TRUE(missing.json()["error"]["code"].is_null());
  }
  EXPECT_EQ(server.ask(request_text("DELETE", path_of(url), "", key)).status, 405);
}

TEST(Delivery, LinksBeginAsTheClientReachedTheServer) {
  const RunningServer plain;
  const auto by_host = plain.draw(draw_body({{"response_format", "url"}}), {{"Host", "127.0.0.1:80"}});
  EXPECT_TRUE(by_host.json()["data"][0]["url"].get<std::string>().starts_with("http://127.0.0.1:80/v1/images/files/"));
  const RunningServer proxied({.public_url = "https://images.example/easel/"});
  EXPECT_TRUE(first_item(proxied, {{"response_format", "url"}})["url"].get<std::string>().starts_with(
      "https://images.example/easel/v1/images/files/"));
}

TEST(Delivery, LinksEndWhenTheStoreIsFull) {
  const auto size = encode_png(fake_image({}, 0).image).size();
  const RunningServer server({.image_store_bytes = size + size / 2});
  const auto first = first_item(server, {{"response_format", "url"}})["url"].get<std::string>();
  EXPECT_EQ(server.get(path_of(first)).status, 200);
  first_item(server, {{"response_format", "url"}, {"seed", 6}});
  EXPECT_EQ(server.get(path_of(first)).status, 404);
  const RunningServer none({.image_store_bytes = 10});
  EXPECT_TRUE(first_item(none, {{"response_format", "url"}}).contains("b64_json"));
}

TEST(Delivery, FormatsOnAllRoutes) {
  auto larger = tiny_model("larger");
  larger.upscale_factor = 2;
  const RunningServer server({}, {}, {tiny_model("tiny"), larger});
  const auto png = easel::testing::png_file(easel::testing::gradient(32, 24));
  const std::pair<const char*, const char*> formats[] = {
      {"png", "\x89PNG"}, {"jpeg", "\xff\xd8\xff"}, {"webp", "RIFF"}};
  for (const auto& [format, magic] : formats) {
    for (const char* route : {"generations", "edits", "variations", "upscale"}) {
      const bool has_image = std::string(route) != "generations";
      const auto body =
          has_image ? form_text({{"prompt", "x"},
                                 {"image", png, true},
                                 {"output_format", format},
                                 {"output_compression", "80"},
                                 {"response_format", "url"}})
                    : draw_body({{"output_format", format}, {"output_compression", 80}, {"response_format", "url"}});
      const auto response = server.ask(request_text("POST", std::string("/v1/images/") + route, body,
                                                    {{"Content-Type", has_image ? form_type() : "application/json"}}));
      ASSERT_EQ(response.status, 200) << response.body;
      EXPECT_EQ(response.json()["output_format"], format);
      const auto file = server.get(path_of(response.json()["data"][0]["url"].get<std::string>()));
      EXPECT_EQ(file.header("content-type"), std::string("image/") + format);
      EXPECT_TRUE(file.body.starts_with(magic)) << route << ' ' << format;
      const auto image = decode_image(file.body).image;
      EXPECT_EQ(response.json()["size"], concat(image.width, "x", image.height));
    }
  }
}

TEST(Delivery, ImagesTooLargeForTheirFormatAreRefusedBeforeTheyAreMade) {
  const RunningServer server({.max_edge = 20'000, .max_pixels = 20'000'000});
  const auto response = server.draw(draw_body({{"size", "16384x16"}, {"output_format", "webp"}}));
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(response.json()["error"]["param"], "output_format");
  EXPECT_TRUE(server.engine.requests().empty());
  EXPECT_EQ(server.draw(draw_body({{"size", "16384x16"}, {"output_format", "jpeg"}})).status, 200);
}

TEST(Delivery, TransparencyIsRefusedOrDrawnOpaque) {
  const auto body = draw_body({{"background", "transparent"}});
  const RunningServer strict;
  EXPECT_EQ(strict.draw(body).json()["error"]["param"], "background");
  const RunningServer lenient({.opaque_instead_of_transparent = true});
  const auto response = lenient.draw(body);
  ASSERT_EQ(response.status, 200);
  EXPECT_EQ(response.json()["background"], "opaque");
  EXPECT_EQ(lenient.draw(draw_body({{"background", "x"}})).status, 400);
}

TEST(Delivery, WhatWasIgnoredIsInTheResponse) {
  const RunningServer server;
  const auto response = server.draw(draw_body({{"foo", 1}, {"bar", {1}}, {"baz", nullptr}}));
  EXPECT_EQ(response.json()["ignored"], nlohmann::json({"bar", "foo"}));
  EXPECT_FALSE(server.draw(draw_body({{"quality", "low"}})).json().contains("ignored"));
  const RunningServer strict({.strict = true});
  EXPECT_EQ(strict.draw(draw_body({{"foo", 1}})).json()["error"]["param"], "foo");
}

TEST(Delivery, AliasesStandForModels) {
  ServerOptions options{.aliases = {{"stablediffusion", "other"}, {"dall-e-3", "other"}}};
  const RunningServer server(options, {}, {tiny_model("tiny"), tiny_model("other")});
  for (const char* name : {"stablediffusion", "dall-e-3", "other"}) {
    EXPECT_EQ(server.draw(draw_body({{"model", name}})).status, 200) << name;
    EXPECT_EQ(server.engine.requests().back().model, "other") << name;
    EXPECT_EQ(server.get(std::string("/v1/models/") + name).json()["id"], name);
  }
  server.draw(draw_body({{"model", "dall-e-2"}}));
  EXPECT_EQ(server.engine.requests().back().model, "tiny");
  EXPECT_EQ(server.get("/v1/models").json()["data"].size(), 2u) << "they are not listed unasked";
  options.list_aliases = true;
  const RunningServer listing(options, {}, {tiny_model("tiny"), tiny_model("other")});
  const auto list = listing.get("/v1/models").json()["data"];
  ASSERT_EQ(list.size(), 4u);
  EXPECT_EQ(list[2]["id"], "stablediffusion");
  EXPECT_EQ(list[3]["id"], "dall-e-3");
  EXPECT_THROW(RunningServer({.aliases = {{"a", "unknown"}}}), Error);
  EXPECT_THROW(RunningServer({.aliases = {{"", "tiny"}}}), Error);
}

TEST(Delivery, OtherServersListsAreServed) {
  const RunningServer server({}, {}, {tiny_model("tiny"), tiny_model("other")});
  EXPECT_EQ(server.get("/api/v1/models?show_all=true").json()["data"][0]["labels"], nlohmann::json({"image"}));
  const auto tags = server.get("/api/tags").json()["models"];
  ASSERT_EQ(tags.size(), 2u);
  EXPECT_EQ(tags[1]["name"], "other");
  EXPECT_EQ(tags[1]["capabilities"], nlohmann::json({"image"}));
  EXPECT_EQ(server.ask(request_text("POST", "/v1images/generations", draw_body({}))).status, 200);
}

TEST(Delivery, AdaptersAreListed) {
  EXPECT_EQ(RunningServer().get("/v1/loras").json()["data"], nlohmann::json::array());
  const RunningServer server({.list_adapters = [] {
    return std::vector<AdapterDescription>{{.name = "sdxl/ink",
                                            .alias = "Ink",
                                            .family = "stable-diffusion-xl",
                                            .trigger_words = {"ink", "drawing"},
                                            .bytes = 1234}};
  }});
  EXPECT_EQ(server.get("/v1/loras").json()["data"], nlohmann::json::parse(R"([{
      "name": "sdxl/ink", "alias": "Ink", "family": "stable-diffusion-xl", "trigger_words": ["ink", "drawing"],
      "size": 1234}])"));
}

TEST(Delivery, TheFirstPageIsJsonExceptForBrowsers) {
  auto larger = tiny_model("larger");
  larger.upscale_factor = 2;
  const RunningServer server({}, {}, {tiny_model("tiny"), larger});
  for (const Fields& fields : {Fields{}, Fields{{"Accept", "*/*"}}, Fields{{"Accept", "application/json"}}}) {
    const auto page = server.get("/", fields);
    EXPECT_EQ(page.json()["model"], "tiny");
    EXPECT_EQ(page.json()["upscaler"], "larger");
  }
  EXPECT_EQ(RunningServer().get("/").json()["upscaler"], "");
  const auto html = server.get("/", {{"Accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}});
  EXPECT_EQ(html.header("content-type"), "text/html; charset=utf-8");
  EXPECT_NE(html.body.find("<h1>easel</h1>"), std::string::npos);
  const auto raw = RawClient(server.port).exchange(request_text("HEAD", "/"));
  EXPECT_EQ(raw.status, 200);
}

TEST(Delivery, AnUnknownModelIsABadRequestOnImageRoutes) {
  const RunningServer server;
  const auto response = server.draw(draw_body({{"model", "invalid-model"}}));
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(response.json()["error"]["code"], "model_not_found");
  EXPECT_EQ(response.json()["error"]["param"], "model");
  EXPECT_EQ(server.get("/v1/models/invalid-model").status, 404);
  EXPECT_TRUE(server.engine.requests().empty());
}

}  // namespace
}  // namespace easel::test
