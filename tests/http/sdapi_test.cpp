// AUTOMATIC1111's API, as its clients see it.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/base64.h"
#include "core/text.h"
#include "easel/image_output.h"
#include "http/support/running_server.h"

namespace easel::test {
namespace {

using nlohmann::json;

Response post(const RunningServer& server, const std::string& route, const json& body, Fields fields = {}) {
  return server.ask(request_text("POST", "/sdapi/v1/" + route, body.dump(), fields));
}

std::string image_text(int width, int height, std::uint8_t gray) {
  const auto bytes = static_cast<std::size_t>(width * height * Image::kChannels);
  return base64_encode(
      encode_png({.width = width, .height = height, .pixels = std::vector<std::uint8_t>(bytes, gray)}));
}

RunningServer server_with_samplers() {
  return RunningServer({}, {}, {tiny_model("tiny"), tiny_model("other")});
}

TEST(Sdapi, Txt2imgAnswersAsA1111Does) {
  const auto server = server_with_samplers();
  const auto response = post(server, "txt2img",
                             {{"prompt", "a cat"},
                              {"negative_prompt", "a dog"},
                              {"width", 40.0},
                              {"height", 20},
                              {"steps", 6.0},
                              {"cfg_scale", 5},
                              {"seed", 41},
                              {"batch_size", 2},
                              {"n_iter", 1},
                              {"sampler_name", "Euler"}});
  ASSERT_EQ(response.status, 200) << response.body;
  const auto request = server.engine.requests().at(0);
  EXPECT_EQ(request.prompt, "a cat");
  EXPECT_EQ(request.negative_prompt, "a dog");
  EXPECT_EQ(request.width, 40);
  EXPECT_EQ(request.num_inference_steps, 6);
  EXPECT_EQ(request.guidance_scale, 5);
  EXPECT_EQ(request.scheduler, "euler");
  EXPECT_EQ(request.num_images, 2);
  EXPECT_EQ(request.prompt_syntax, PromptSyntax::kA1111);
  const auto body = response.json();
  ASSERT_EQ(body["images"].size(), 2u);
  EXPECT_EQ(body["images"][1], base64_encode(encode_png(fake_image(request, 1).image))) << "no prefix, no grid";
  EXPECT_EQ(body["parameters"]["prompt"], "a cat");
  EXPECT_FALSE(body["parameters"].contains("ignored"));
  const auto info = json::parse(body["info"].get<std::string>());
  EXPECT_EQ(info["seed"], 41);
  EXPECT_EQ(info["all_seeds"], json({41, 42}));
  EXPECT_EQ(info["width"], 40);
  EXPECT_EQ(info["height"], 20);
  EXPECT_EQ(info["sd_model_name"], "tiny");
  ASSERT_EQ(info["infotexts"].size(), 2u);
  EXPECT_NE(info["infotexts"][1].get<std::string>().find("Negative prompt: a dog\nSteps: 6, Sampler: Euler"),
            std::string::npos)
      << info["infotexts"][1];
}

TEST(Sdapi, DistilledModelsTakeForgesScaleAndCfgScaleIsTheSecondPredictions) {
  auto model = tiny_model("tiny");
  model.separate_guidance = true;
  const RunningServer server({}, {}, {model});
  const json scales = {{"prompt", "a cat"}, {"cfg_scale", 4}, {"distilled_cfg_scale", 2.5}};
  auto body = scales;
  body["negative_prompt"] = "a dog";
  ASSERT_EQ(post(server, "txt2img", body).status, 200);
  ASSERT_EQ(post(server, "txt2img", scales).status, 200);
  const auto requests = server.engine.requests();
  EXPECT_EQ(requests.at(0).guidance_scale, 2.5);
  EXPECT_EQ(requests.at(0).true_cfg_scale, 4);
  EXPECT_EQ(requests.at(1).guidance_scale, 2.5);
  EXPECT_FALSE(requests.at(1).true_cfg_scale) << "it counts only with a negative prompt";
}

TEST(Sdapi, AbsentAndNullMembersMeanTheModelsOwn) {
  const RunningServer server;
  const auto response =
      post(server, "txt2img",
           {{"prompt", nullptr}, {"steps", nullptr}, {"seed", -1}, {"width", nullptr}, {"cfg_scale", nullptr}});
  ASSERT_EQ(response.status, 200) << response.body;
  const auto request = server.engine.requests().at(0);
  EXPECT_FALSE(request.num_inference_steps || request.width || request.guidance_scale);
  EXPECT_EQ(request.num_images, 1);
}

TEST(Sdapi, WhatIsNotHonouredNeverFailsAndIsNamed) {
  const RunningServer server;
  const auto response = post(server, "txt2img",
                             {{"prompt", "a cat"},
                              {"tiling", true},
                              {"restore_faces", false},
                              {"styles", json::array()},
                              {"subseed", 7},
                              {"subseed_strength", 0},
                              {"eta", 1.0},
                              {"denoising_strength", 0.7},
                              {"hr_scale", 2},
                              {"save_images", true},
                              {"script_args", {1, 2}},
                              {"alwayson_scripts", {{"ADetailer", {{"args", {true}}}}}},
                              {"override_settings", {{"sd_vae", "Automatic"}, {"eta_noise_seed_delta", 31337}}}});
  ASSERT_EQ(response.status, 200) << response.body;
  const json ignored = {"alwayson_scripts", "override_settings.eta_noise_seed_delta", "tiling"};
  EXPECT_EQ(response.json()["parameters"]["ignored"], ignored);
  EXPECT_EQ(json::parse(response.json()["info"].get<std::string>())["ignored"], ignored);
}

TEST(Sdapi, StrictServersDrawTheSame) {
  const RunningServer server({.strict = true});
  const auto response = post(server, "txt2img", {{"prompt", "a cat"}, {"tiling", true}});
  ASSERT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(response.json()["parameters"]["ignored"][0], "tiling");
  const auto own = server.draw(R"({"prompt": "a cat", "foo": 1, "strict": false})");
  EXPECT_EQ(own.status, 200) << own.body;
}

// A quarter of the memory is only for small bodies.
TEST(Sdapi, BodiesTakeUploadMemory) {
  const RunningServer server({.max_upload_bytes = 1 << 20, .upload_memory = 4 << 20});
  const auto status_of = [&](std::size_t bytes) {
    return post(server, "txt2img", {{"prompt", "a cat"}, {"script_args", std::string(bytes, 'x')}}).status;
  };
  EXPECT_EQ(status_of(2 << 20), 200);
  EXPECT_EQ(status_of(4 << 20), 413);
  EXPECT_EQ(status_of(2 << 20), 200) << "the memory was not given back";
}

TEST(Sdapi, SeedsHave64Bits) {
  const RunningServer server;
  const auto response = post(server, "txt2img", {{"prompt", "a cat"}, {"seed", 18446744073709551615u}});
  ASSERT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(server.engine.requests().back().seed, 18446744073709551615u);
  EXPECT_EQ(json::parse(response.json()["info"].get<std::string>())["seed"], 18446744073709551615u);
}

TEST(Sdapi, SamplersAreThoseOfTheTable) {
  const auto server = server_with_samplers();
  const auto scheduler_of = [&](const json& names) {
    json body = {{"prompt", "a cat"}};
    body.update(names);
    const auto response = post(server, "txt2img", body);
    return response.status == 200 ? server.engine.requests().back().scheduler.value_or("")
                                  : std::to_string(response.status);
  };
  EXPECT_EQ(scheduler_of({{"sampler_name", "DDIM"}}), "ddim");
  EXPECT_EQ(scheduler_of({{"sampler_index", "k_euler"}}), "euler");
  EXPECT_EQ(scheduler_of({{"sampler_name", "Euler"}, {"scheduler", "Automatic"}}), "euler");
  EXPECT_EQ(scheduler_of({{"sampler_name", "LMS"}}), "ddim") << "known, but this model has it not";
  EXPECT_EQ(scheduler_of({{"sampler_name", "Eulr"}}), "404");
  EXPECT_EQ(scheduler_of({{"scheduler", "nearly karras"}}), "404");
  const auto missing = post(server, "txt2img", {{"prompt", "a cat"}, {"sampler_name", "Eulr"}}).json();
  EXPECT_EQ(missing["detail"], "Sampler not found");
  for (const char* member : {"error", "detail", "body", "errors"}) EXPECT_TRUE(missing.contains(member)) << member;
}

TEST(Sdapi, ClipSkipCountsFromOne) {
  const RunningServer server;
  const auto skipped = [&](const json& members) {
    json body = {{"prompt", "a cat"}};
    body.update(members);
    EXPECT_EQ(post(server, "txt2img", body).status, 200);
    return server.engine.requests().back().clip_skip.value_or(0);
  };
  EXPECT_EQ(skipped({{"clip_skip", 1}}), 0);
  EXPECT_EQ(skipped({{"clip_skip", 2}}), 1);
  EXPECT_EQ(skipped({{"clip_skip", 0}}), 0);
  EXPECT_EQ(skipped({{"clip_skip", 9}}), 2) << "the most there are";
  EXPECT_EQ(skipped({{"clip_skip", 1}, {"override_settings", {{"CLIP_stop_at_last_layers", 3}}}}), 2);
}

TEST(Sdapi, TheChosenModelIsTheAccountsOwn) {
  const auto server = server_with_samplers();
  EXPECT_EQ(server.get("/sdapi/v1/options").json()["sd_model_checkpoint"], "tiny");
  const auto set = post(server, "options", {{"sd_model_checkpoint", "other [abc]"}, {"unknown", 1}});
  EXPECT_EQ(set.status, 200);
  EXPECT_EQ(set.body, "null");
  EXPECT_EQ(server.get("/sdapi/v1/options").json()["sd_model_checkpoint"], "other");
  post(server, "txt2img", {{"prompt", "a cat"}});
  EXPECT_EQ(server.engine.requests().back().model, "other");
  post(server, "txt2img", {{"prompt", "a cat"}, {"override_settings", {{"sd_model_checkpoint", "tiny"}}}});
  EXPECT_EQ(server.engine.requests().back().model, "tiny");
  server.draw(R"({"prompt":"a cat"})");
  EXPECT_EQ(server.engine.requests().back().model, "tiny") << "never that of /v1";
  EXPECT_EQ(post(server, "options", {{"sd_model_checkpoint", "no such"}}).status, 404);
}

TEST(Sdapi, ListsAreLists) {
  const auto server = server_with_samplers();
  for (const char* route : {"sd-models", "samplers", "schedulers", "upscalers", "latent-upscale-modes", "sd-vae",
                            "sd-modules", "hypernetworks", "face-restorers", "realesrgan-models", "prompt-styles"}) {
    EXPECT_TRUE(server.get(concat("/sdapi/v1/", route)).json().is_array()) << route;
  }
  EXPECT_EQ(server.get("/sdapi/v1/sd-models").json()[1]["title"], "other");
  EXPECT_EQ(server.get("/sdapi/v1/upscalers").json()[0]["name"], "None");
  EXPECT_FALSE(server.get("/sdapi/v1/options").json().contains("forge_preset"));
  EXPECT_TRUE(server.get("/sdapi/v1/scripts").json()["txt2img"].is_array());
}

TEST(Sdapi, LorasAreTheServersAdapters) {
  const RunningServer server({.list_adapters = [] {
    return std::vector<AdapterDescription>{{.name = "ink"}, {.name = "mono", .alias = "Mono v2"}};
  }});
  const auto list = server.get("/sdapi/v1/loras").json();
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0]["alias"], "ink");
  EXPECT_EQ(list[1]["alias"], "Mono v2");
}

TEST(Sdapi, OnlyOperatorsMoveModels) {
  const RunningServer for_anybody;
  EXPECT_EQ(post(for_anybody, "unload-checkpoint", json::object()).body, "{}");
  EXPECT_TRUE(for_anybody.engine.controls().empty());
  const RunningServer server({.local_operator = true});
  EXPECT_EQ(post(server, "unload-checkpoint", json::object()).body, "{}");
  EXPECT_EQ(server.engine.controls(), std::vector<std::string>{"unload tiny"});
  const RunningServer with_key({.api_keys = {"key"}});
  EXPECT_EQ(post(with_key, "reload-checkpoint", json::object(), {{"Authorization", "Bearer key"}}).status, 200);
  EXPECT_TRUE(with_key.engine.controls().empty());
  EXPECT_EQ(post(with_key, "refresh-loras", json::object(), {{"Authorization", "Bearer key"}}).body, "{}");
}

TEST(Sdapi, Img2imgReadsMasksAsA1111Does) {
  const RunningServer server;
  json body = {{"prompt", "a cat"},
               {"init_images", {"data:image/png;base64," + image_text(24, 16, 9)}},
               {"mask", image_text(12, 8, 255)},
               {"inpaint_full_res", false},
               {"mask_blur", 0}};
  ASSERT_EQ(post(server, "img2img", body).status, 200);
  auto request = server.engine.requests().back();
  EXPECT_EQ(request.strength, 0.75);
  ASSERT_TRUE(request.image && request.mask);
  EXPECT_EQ(request.mask->width, 24) << "a mask of another size is resized";
  EXPECT_EQ(request.mask->pixels.front(), 255) << "white is drawn anew";
  body["inpainting_mask_invert"] = 1;
  body["denoising_strength"] = 0.5;
  ASSERT_EQ(post(server, "img2img", body).status, 200);
  request = server.engine.requests().back();
  EXPECT_EQ(request.mask->pixels.front(), 0);
  EXPECT_EQ(request.strength, 0.5);
  EXPECT_EQ(post(server, "img2img", {{"prompt", "a cat"}}).status, 404) << "no image";
  EXPECT_EQ(post(server, "img2img", {{"prompt", "a cat"}, {"init_images", {"?"}}}).status, 422);
}

// The model's own size is 24 x 16.
TEST(Sdapi, Img2imgWithoutASizeScalesPhotographsToTheModelsArea) {
  const RunningServer server;
  json body = {{"prompt", "a cat"}, {"init_images", {image_text(200, 100, 9)}}};
  ASSERT_EQ(post(server, "img2img", body).status, 200);
  EXPECT_EQ(server.engine.requests().back().width, 24);
  EXPECT_EQ(server.engine.requests().back().height, 16);
  body["width"] = 64;
  body["height"] = 32;
  ASSERT_EQ(post(server, "img2img", body).status, 200);
  EXPECT_EQ(server.engine.requests().back().width, 64);
}

TEST(Sdapi, ProgressAndInterruptAreTheCallersOwn) {
  RunningServer server;
  EXPECT_EQ(server.get("/sdapi/v1/progress").json()["state"]["job_count"], 0);
  EXPECT_EQ(server.get("/sdapi/v1/progress").json()["progress"], 0);
  server.engine.hold(true);
  RawClient client(server.port);
  client.send(request_text("POST", "/sdapi/v1/txt2img", R"({"prompt":"a cat"})"));
  ASSERT_TRUE(eventually([&] { return server.get("/sdapi/v1/progress").json()["state"]["job_count"] == 1; }));
  const Image preview{.width = 3, .height = 2, .pixels = std::vector<std::uint8_t>(18, 100)};
  server.engine.report({.kind = ProgressEvent::Kind::kStep, .progress = {2, 8}, .preview = preview});
  EXPECT_EQ(server.get("/sdapi/v1/progress").json()["current_image"], base64_encode(encode_png(preview)));
  EXPECT_TRUE(server.get("/sdapi/v1/progress?skip_current_image=true").json()["current_image"].is_null());
  EXPECT_EQ(server.ask(request_text("POST", "/sdapi/v1/interrupt")).body, "{}");
  EXPECT_GE(client.read().status, 400);
  EXPECT_EQ(server.engine.cancelled(), 1u);
}

TEST(Sdapi, KeysAreAskedForAsEverywhere) {
  const RunningServer server({.api_keys = {"key"}});
  EXPECT_EQ(post(server, "txt2img", {{"prompt", "a cat"}}).status, 401);
  EXPECT_EQ(
      post(server, "txt2img", {{"prompt", "a cat"}}, {{"Authorization", "Basic " + base64_encode("user:key")}}).status,
      200);
}

TEST(Sdapi, PngInfoReadsWhatOtherProgramsWrote) {
  const RunningServer server;
  const std::string text = "a cat\nNegative prompt: a dog\nSteps: 6, Sampler: Euler, Seed: 1";
  const auto file = encode(Image{.width = 2, .height = 2, .pixels = std::vector<std::uint8_t>(12)}, {},
                           {.parameters = text, .record = {}, .source = {}});
  const auto info = post(server, "png-info", {{"image", base64_encode(file)}}).json();
  EXPECT_EQ(info["info"], text);
  EXPECT_EQ(info["parameters"]["Seed"], "1");
  EXPECT_EQ(post(server, "png-info", {{"image", image_text(2, 2, 0)}}).json()["info"], "");
}

// Each parameter is looked for among the ones before it.
TEST(Sdapi, PngInfoRefusesMoreParametersThanProgramsWrite) {
  const RunningServer server;
  const auto info = [&](std::string text) {
    const auto file = encode(Image{.width = 2, .height = 2, .pixels = std::vector<std::uint8_t>(12)}, {},
                             {.parameters = std::move(text), .record = {}, .source = {}});
    return post(server, "png-info", {{"image", base64_encode(file)}});
  };
  std::string settings = "name 0: 0";
  for (int i = 1; i < 1000; ++i) settings += concat(", name ", i, ": ", i);
  EXPECT_EQ(info(settings).json()["parameters"]["name 999"], "999");
  EXPECT_EQ(info(settings + ", name 1000: 1000").status, 400);
  EXPECT_EQ(info(std::string(1 << 20, 'x')).status, 200);
  EXPECT_EQ(info(std::string((1 << 20) + 1, 'x')).status, 400);
}

}  // namespace
}  // namespace easel::test
