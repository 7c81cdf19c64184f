// Names that are neither OpenAI's nor easel's, and fields that a model cannot use: honoured, refused, or listed.

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "http/openai/fields/unused_fields.h"
#include "http/openai/requests/openai_images.h"
#include "http/support/scripted_engine.h"
#include "http/wire/http_error.h"

namespace easel::http {
namespace {

using nlohmann::json;
using Names = std::vector<std::string>;

// A model of which every field but the conditions of SDXL can be used.
ModelDescription model_with_limits() {
  auto model = test::tiny_model("tiny");
  model.schedulers = {"ddim", "euler", "dpmpp_2m", "dpmpp_2m_karras"};
  model.scheduler_aliases = {"euler_a"};
  model.unused_fields = {"original_size", "aesthetic_score", "noise_level"};
  model.native_width = model.native_height = 512;
  return model;
}

ImageRequest read_body(json body, ImageTask task = ImageTask::kGenerate, const ServerOptions& options = {}) {
  static const std::vector<ModelDescription> models = {model_with_limits()};
  body.emplace("prompt", "a cat");
  return read_image_request(body, models, options, "", task);
}

HttpError error_for(const json& body, ImageTask task = ImageTask::kGenerate, const ServerOptions& options = {}) {
  try {
    read_body(body, task, options);
  } catch (const HttpFailure& failure) {
    return failure.error();
  }
  return {.status = 0};
}

TEST(ForeignFields, AreHonouredUnderTheirOwnMeaning) {
  EXPECT_EQ(read_body({{"cfg_scale", 3.5}}).guidance_scale, 3.5);
  EXPECT_EQ(read_body({{"negativePrompt", "blur"}}).negative_prompt, "blur");
  EXPECT_EQ(read_body({{"rng_seed", 77}}).seed, 77u);
  EXPECT_EQ(read_body({{"rng_seed", "78"}}).seed, 78u);
  EXPECT_EQ(read_body({{"num_images_per_prompt", 3}}).num_images, 3);
  EXPECT_EQ(read_body({{"denoising_strength", 0.25}}, ImageTask::kEdit).strength, 0.25);
  EXPECT_EQ(read_body({{"width", 640}, {"height", 384.0}}).width, 640);
  EXPECT_EQ(read_body({{"width", 640}, {"height", 384.0}}).height, 384);
  EXPECT_TRUE(read_body({{"cfg_scale", 3.5}, {"width", 64}, {"height", 64}}).response.ignored.empty());
}

TEST(ForeignFields, SamplersAreSchedulers) {
  EXPECT_EQ(read_body({{"sampler_name", "Euler a"}}).scheduler, "euler_a");
  EXPECT_EQ(read_body({{"sampler", "DPM++ 2M Karras"}}).scheduler, "dpmpp_2m_karras");
  EXPECT_EQ(read_body({{"sampler_name", "DPM++ 2M"}, {"scheduler", "Karras"}}).scheduler, "dpmpp_2m_karras");
  EXPECT_EQ(read_body({{"sampler_name", "DPM++ 2M Karras"}, {"scheduler", "Karras"}}).scheduler, "dpmpp_2m_karras");
  EXPECT_EQ(read_body({{"sampler_name", "DPM++ 2M"}, {"scheduler", "Automatic"}}).scheduler, "dpmpp_2m");
  EXPECT_EQ(read_body({{"sampler_name", "Euler"}, {"scheduler", "euler"}}).scheduler, "euler");
  EXPECT_EQ(read_body({{"sampler_name", "Euler"}, {"sampler", "euler"}}).scheduler, "euler");
  EXPECT_EQ(error_for({{"sampler_name", "magic"}}).param, "sampler_name");
  EXPECT_EQ(error_for({{"sampler", "magic"}}).param, "sampler");
  EXPECT_EQ(error_for({{"sampler_name", "Euler"}, {"scheduler", "Karras"}}).param, "scheduler");
  EXPECT_NE(error_for({{"sampler_name", "Euler"}, {"scheduler", "ddim"}}).message.find("`sampler_name`"),
            std::string::npos);
  EXPECT_EQ(error_for({{"sampler_name", "Euler"}, {"sampler", "ddim"}}).code, "invalid_value");
}

TEST(ForeignFields, AspectRatiosHaveTheNativeArea) {
  const auto size = [](const json& body) {
    const auto request = read_body(body);
    return std::pair(request.width, request.height);
  };
  EXPECT_EQ(size({{"aspect_ratio", "1:1"}}), std::pair(std::optional(512), std::optional(512)));
  EXPECT_EQ(size({{"aspectRatio", "4:1"}}), std::pair(std::optional(1024), std::optional(256)));
  EXPECT_EQ(size({{"aspect_ratio", "16:9"}}), std::pair(std::optional(680), std::optional(384)));
  EXPECT_EQ(size({{"aspect_ratio", "auto"}}), std::pair(std::optional<int>(), std::optional<int>()));
  EXPECT_EQ(size({{"aspect_ratio", "2:1"}, {"size", "640x320"}}), std::pair(std::optional(640), std::optional(320)));
  for (const char* ratio :
       {"16", "16:", ":9", "16:9:1", "1.5:1", "0:1", "-1:2", "a:b", "16 : 9", "10000:1", "9999:1"}) {
    EXPECT_EQ(error_for({{"aspect_ratio", ratio}}).param, "aspect_ratio") << ratio;
  }
}

TEST(ForeignFields, NamesThatContradictEachOtherAreErrors) {
  const std::vector<std::pair<json, Names>> contradictions = {
      {{{"steps", 5}, {"num_inference_steps", 6}}, {"steps", "num_inference_steps"}},
      {{{"cfg_scale", 5}, {"guidance_scale", 6}}, {"cfg_scale", "guidance_scale"}},
      {{{"negativePrompt", "a"}, {"negative_prompt", "b"}}, {"negativePrompt", "negative_prompt"}},
      {{{"rng_seed", 1}, {"seed", 2}}, {"rng_seed", "seed"}},
      {{{"num_images_per_prompt", 2}, {"n", 1}}, {"num_images_per_prompt", "n"}},
      {{{"size", "64x64"}, {"width", 64}, {"height", 32}}, {"size", "width"}},
      {{{"size", "64x64"}, {"aspect_ratio", "2:1"}}, {"size", "aspect_ratio"}},
      {{{"width", 64}, {"height", 64}, {"aspectRatio", "2:1"}}, {"width", "aspectRatio"}},
      {{{"aspect_ratio", "1:1"}, {"aspectRatio", "2:1"}}, {"aspect_ratio", "aspectRatio"}}};
  for (const auto& [body, names] : contradictions) {
    const auto error = error_for(body);
    EXPECT_EQ(error.status, 400) << body.dump();
    for (const auto& name : names) EXPECT_NE(error.message.find("`" + name + "`"), std::string::npos) << error.message;
  }
  EXPECT_EQ(read_body({{"cfg_scale", 5}, {"guidance_scale", 5.0}}).guidance_scale, 5.0);
  EXPECT_EQ(read_body({{"rng_seed", "7"}, {"seed", 7}}).seed, 7u);
  EXPECT_EQ(read_body({{"size", "64x32"}, {"width", 64}, {"height", 32}}).width, 64);
  EXPECT_EQ(read_body({{"size", "auto"}, {"width", 64}, {"height", 32}}).width, 64);
}

TEST(ForeignFields, EmptyValuesCountAsAbsent) {
  const json empties[] = {nullptr, "", json::array(), json::object()};
  for (const char* name : {"foo", "cfg_scale", "steps", "negativePrompt", "rng_seed", "num_images_per_prompt",
                           "sampler_name", "sampler", "width", "height", "aspect_ratio", "denoising_strength", "image",
                           "images", "init_images", "mask", "controlnet_units", "ip_adapter_image"}) {
    for (const auto& empty : empties) {
      const auto request = read_body({{name, empty}, {"strict", true}});
      EXPECT_TRUE(request.response.ignored.empty()) << name << " = " << empty.dump();
    }
  }
  EXPECT_EQ(error_for({{"guidance_scale", ""}}).code, "invalid_type") << "easel's own fields keep their types";
  EXPECT_EQ(error_for({{"n", ""}}).code, "invalid_type");
  EXPECT_EQ(error_for({{"cfg_scale", "x"}}).param, "cfg_scale");
}

TEST(ForeignFields, WhatAClientReliesOnIsRefused) {
  for (const char* name : {"image", "images", "init_images", "mask"}) {
    const auto error = error_for({{name, "aGk="}});
    EXPECT_EQ(error.param, name);
    EXPECT_NE(error.message.find("/v1/images/edits"), std::string::npos) << error.message;
  }
  for (const auto task : {ImageTask::kGenerate, ImageTask::kEdit, ImageTask::kUpscale}) {
    for (const char* name : {"controlnet", "controlnet_units", "controlnet_conditioning_scale", "ip_adapter_image"}) {
      EXPECT_EQ(error_for({{name, 1}}, task).param, name);
      EXPECT_EQ(error_for({{name, 1}}, task).code, "unsupported_parameter");
    }
  }
}

TEST(ForeignFields, WhatIsNotUsedIsListedInOrder) {
  const auto request = read_body({{"zebra", 1},
                                  {"foo", true},
                                  {"metadata", {{"a", 1}}},
                                  {"width", 64},
                                  {"strength", 0.5},
                                  {"noise_level", 20},
                                  {"quality", "low"},
                                  {"style", "vivid"},
                                  {"moderation", "low"},
                                  {"user", "u"},
                                  {"safety_identifier", "s"},
                                  {"input_fidelity", "high"}});
  EXPECT_EQ(request.response.ignored, (Names{"foo", "metadata", "noise_level", "strength", "width", "zebra"}));
  const std::string long_name(5000, 'x');
  EXPECT_LT(read_body({{long_name, 1}}).response.ignored.at(0).size(), 100u);
}

TEST(ForeignFields, StrictRequestsAreRefusedInstead) {
  const json bodies[] = {{{"foo", 1}},
                         {{"strength", 0.5}},
                         {{"width", 64}},
                         {{"aesthetic_score", 7}},
                         {{"eta", 0.5}, {"scheduler", "euler"}}};
  for (const auto& body : bodies) {
    const auto name = body.begin().key();
    auto strict = body;
    strict["strict"] = true;
    for (const auto& error : {error_for(strict), error_for(body, ImageTask::kGenerate, {.strict = true})}) {
      EXPECT_EQ(error.status, 400) << body.dump();
      EXPECT_EQ(error.param, name);
      EXPECT_EQ(error.code, "unsupported_parameter");
    }
    strict["strict"] = false;
    EXPECT_EQ(read_body(strict).response.ignored, Names{name});
  }
  EXPECT_EQ(error_for({{"strict", "yes"}}).param, "strict");
  EXPECT_EQ(read_body({{"user", 1}, {"strict", true}}).num_images, 1) << "OpenAI's own fields are not faults";
}

TEST(UnusedFields, AreThoseThatChangeNothing) {
  const auto ignored = [](const json& body) { return read_body(body).response.ignored; };
  EXPECT_EQ(ignored({{"negative_prompt", "x"}, {"guidance_scale", 1}}), Names{"negative_prompt"});
  EXPECT_EQ(ignored({{"negativePrompt", "x"}, {"cfg_scale", 0.5}}), Names{"negativePrompt"}) << "as it was sent";
  EXPECT_EQ(ignored({{"negative_prompt", "x"}, {"guidance_scale", 1.1}}), Names{});
  EXPECT_EQ(ignored({{"negative_prompt", ""}, {"guidance_scale", 1}}), Names{});
  EXPECT_EQ(ignored({{"eta", 0.5}, {"scheduler", "euler"}}), Names{"eta"});
  EXPECT_EQ(ignored({{"eta", 0.0}, {"scheduler", "euler"}}), Names{});
  EXPECT_EQ(ignored({{"eta", 0.5}}), Names{}) << "the default scheduler is ddim";
  EXPECT_EQ(ignored({{"original_size", {64, 64}}, {"aesthetic_score", 7}}),
            (Names{"aesthetic_score", "original_size"}));
  EXPECT_EQ(ignored({{"aesthetic_score", 6}}), Names{}) << "the default";
  EXPECT_EQ(ignored({{"target_size", {64, 64}}}), Names{});
  EXPECT_FALSE(read_body({{"aesthetic_score", 7}}).micro_conditioning.aesthetic_score == 7);
  EXPECT_EQ(read_body({{"eta", 0.5}, {"scheduler", "euler"}}).eta, 0.0);
}

TEST(UnusedFields, ClipSkipHasNoUseWithoutClip) {
  auto model = test::tiny_model("tiny");
  model.max_clip_skip = 0;
  const auto read_with = [&](const json& value) {
    return read_image_request({{"prompt", "x"}, {"clip_skip", value}}, {model}, {}, "");
  };
  EXPECT_EQ(read_with(2).response.ignored, Names{"clip_skip"});
  EXPECT_FALSE(read_with(2).clip_skip);
  EXPECT_TRUE(read_with(0).response.ignored.empty());
  EXPECT_THROW(read_with("2"), HttpFailure);
  EXPECT_THROW(read_with(101), HttpFailure);
}

TEST(UnusedFields, WithASeparateScaleTheNegativePromptNeedsIt) {
  auto model = test::tiny_model("tiny");
  model.separate_guidance = true;
  const auto ignored = [&](json body) {
    body["prompt"] = "x";
    return read_image_request(body, {model}, {}, "").response.ignored;
  };
  EXPECT_EQ(ignored({{"negative_prompt", "y"}, {"true_cfg_scale", 3}}), Names{});
  EXPECT_EQ(ignored({{"negative_prompt", "y"}, {"guidance_scale", 7}}), Names{"negative_prompt"});
  EXPECT_EQ(ignored({{"negative_prompt", "y"}, {"true_cfg_scale", 1}}), Names{"negative_prompt"});
  EXPECT_EQ(ignored({{"true_cfg_scale", 3}}), Names{"true_cfg_scale"});
  EXPECT_EQ(ignored({{"guidance_scale", 0.5}}), Names{});
}

TEST(ForeignFields, CfgScaleOfADistilledModelIsTheScaleOfTheSecondPrediction) {
  auto model = test::tiny_model("tiny");
  model.separate_guidance = true;
  const auto read = [&](json body) {
    body["prompt"] = "x";
    return read_image_request(body, {model}, {}, "");
  };
  const auto guided = read({{"cfg_scale", 4}, {"guidance_scale", 2.5}, {"negative_prompt", "y"}});
  EXPECT_EQ(guided.true_cfg_scale, 4);
  EXPECT_EQ(guided.guidance_scale, 2.5) << "another field, not another name";
  EXPECT_EQ(guided.response.ignored, Names{});
  const auto inert = read({{"cfg_scale", 4}});
  EXPECT_EQ(inert.response.ignored, Names{"cfg_scale"}) << "it counts only with a negative prompt";
  EXPECT_FALSE(inert.true_cfg_scale || inert.guidance_scale);
  EXPECT_THROW(read({{"cfg_scale", 4}, {"true_cfg_scale", 3}, {"negative_prompt", "y"}}), HttpFailure);
  EXPECT_THROW(read({{"cfg_scale", "4"}}), HttpFailure);
  EXPECT_THROW(read({{"cfg_scale", 101}}), HttpFailure);
}

TEST(UnusedFields, NegativePromptsCountAboveTheModelsOwnScale) {
  auto model = test::tiny_model("tiny");
  model.guides_above = 0;
  const auto ignored = [&](double scale) {
    const json body = {{"prompt", "x"}, {"negative_prompt", "y"}, {"guidance_scale", scale}};
    return read_image_request(body, {model}, {}, "").response.ignored;
  };
  EXPECT_EQ(ignored(0.5), Names{});
  EXPECT_EQ(ignored(0), Names{"negative_prompt"});
}

TEST(UnusedFields, GuidanceIntervalNeedsGuidance) {
  const auto ignored = [](const ModelDescription& model, json fields) {
    fields.update({{"prompt", "x"}, {"guidance_interval", {0.2, 0.8}}});
    return read_image_request(fields, {model}, {}, "").response.ignored;
  };
  const auto model = model_with_limits();
  EXPECT_EQ(ignored(model, {{"guidance_scale", 4}}), Names{});
  EXPECT_EQ(ignored(model, {{"guidance_scale", 1}}), Names{"guidance_interval"});
  auto distilled = model;
  distilled.unused_fields = {"negative_prompt"};
  EXPECT_EQ(ignored(distilled, {{"guidance_scale", 4}}), Names{"guidance_interval"});
  auto separate = model;
  separate.separate_guidance = true;
  EXPECT_EQ(ignored(separate, {{"guidance_scale", 4}}), Names{"guidance_interval"});
  EXPECT_EQ(ignored(separate, {{"true_cfg_scale", 4}, {"negative_prompt", "y"}}), Names{});
  EXPECT_THROW(ignored(model, {{"guidance_scale", 1}, {"strict", true}}), HttpFailure);
}

// The command line applies the rule to a request that no JSON was read for.
TEST(UnusedFields, AreResetInTheRequest) {
  auto model = model_with_limits();
  model.unused_fields = {"guidance_scale", "strength", "denoising_end", "image_guidance_scale", "guidance_rescale"};
  model.default_guidance_scale = 0;
  GenerationRequest request;
  request.guidance_scale = 7;
  request.negative_prompt = "x";
  request.strength = 0.5;
  request.denoising_end = 0.8;
  request.image_guidance_scale = 1.5;
  request.guidance_rescale = 0.7;
  request.num_inference_steps = 4;
  Names names;
  for (const auto& field : drop_unused_fields(request, model)) names.emplace_back(field.name);
  EXPECT_EQ(names, (Names{"guidance_scale", "negative_prompt", "guidance_rescale", "denoising_end", "strength",
                          "image_guidance_scale"}));
  EXPECT_FALSE(request.guidance_scale || request.strength || request.denoising_end || request.image_guidance_scale);
  EXPECT_EQ(request.negative_prompt, "");
  EXPECT_EQ(request.num_inference_steps, 4);
  EXPECT_TRUE(drop_unused_fields(request, model).empty());
}

}  // namespace
}  // namespace easel::http
