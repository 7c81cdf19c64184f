// Every field of an image request: valid values, and the errors of others.
#include "http/openai/requests/openai_images.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "http/support/scripted_engine.h"
#include "http/wire/http_error.h"

namespace easel::http {
namespace {

using namespace std::string_literals;
using nlohmann::json;

const std::vector<ModelDescription> kModels = {test::tiny_model("tiny"), test::tiny_model("dall-e-3")};

GenerationRequest read_image_body(const json& fields, const ServerOptions& limits = {},
                                  const std::string& deployment = "") {
  json body = {{"prompt", "a cat"}};
  for (const auto& [field, value] : fields.items()) body[field] = value;
  return read_image_request(body, kModels, limits, deployment);
}

HttpError body_refusal(const json& body, const ServerOptions& limits = {}) {
  try {
    read_image_request(body, kModels, limits, "");
  } catch (const HttpFailure& failure) {
    return failure.error();
  }
  return {.status = 0};
}

HttpError field_refusal(const char* field, const json& value) {
  json body = {{"prompt", "a cat"}};
  body[field] = value;
  return body_refusal(body);
}

TEST(ImageRequest, AppliesDefaults) {
  const auto request = read_image_body({});
  EXPECT_EQ(request.model, "tiny");
  EXPECT_EQ(request.prompt, "a cat");
  EXPECT_EQ(request.negative_prompt, "");
  EXPECT_EQ(request.num_images, 1);
  EXPECT_FALSE(request.width || request.height || request.guidance_scale || request.num_inference_steps ||
               request.scheduler || request.clip_skip);
  EXPECT_EQ(request.eta, 0.0);
}

TEST(ImageRequest, ReadsEveryField) {
  const auto request = read_image_body({{"model", "dall-e-3"},
                                        {"n", 3},
                                        {"size", "640x512"},
                                        {"negative_prompt", "blur"},
                                        {"seed", 7},
                                        {"guidance_scale", 3.5},
                                        {"num_inference_steps", 12},
                                        {"scheduler", "ddim"},
                                        {"eta", 0.5},
                                        {"clip_skip", 2}});
  EXPECT_EQ(request.model, "dall-e-3");
  EXPECT_EQ(request.num_images, 3);
  EXPECT_EQ(request.width, 640);
  EXPECT_EQ(request.height, 512);
  EXPECT_EQ(request.negative_prompt, "blur");
  EXPECT_EQ(request.seed, 7u);
  EXPECT_EQ(request.guidance_scale, 3.5);
  EXPECT_EQ(request.num_inference_steps, 12);
  EXPECT_EQ(request.scheduler, "ddim");
  EXPECT_EQ(request.eta, 0.5);
  EXPECT_EQ(request.clip_skip, 2);
}

TEST(ImageRequest, NullMeansAbsentExceptForThePrompt) {
  for (const char* field : {"model",
                            "n",
                            "size",
                            "quality",
                            "style",
                            "response_format",
                            "output_format",
                            "output_compression",
                            "background",
                            "moderation",
                            "stream",
                            "partial_images",
                            "user",
                            "negative_prompt",
                            "seed",
                            "guidance_scale",
                            "num_inference_steps",
                            "steps",
                            "scheduler",
                            "eta",
                            "clip_skip",
                            "guidance_interval",
                            "guidance_rescale",
                            "strength",
                            "image_guidance_scale",
                            "noise_level",
                            "denoising_end",
                            "original_size",
                            "aesthetic_score",
                            "timesteps",
                            "sigmas",
                            "prompt_syntax",
                            "loras"}) {
    EXPECT_NO_THROW(read_image_body({{field, nullptr}})) << field;
  }
}

TEST(ImageRequest, AcceptsOpenAiClientRequests) {
  const json harmless[] = {{{"n", 2.0}},
                           {{"n", 10}},
                           {{"size", ""}},
                           {{"size", "auto"}},
                           {{"size", "513x512"}},
                           {{"size", "16x2048"}},
                           {{"prompt", "   "}},
                           {{"prompt", "nul \0 byte"}},
                           {{"prompt", "a\r\nb"}},
                           {{"quality", "standard"}},
                           {{"quality", "hd"}},
                           {{"quality", "auto"}},
                           {{"style", "vivid"}},
                           {{"style", "natural"}},
                           {{"response_format", "b64_json"}},
                           {{"response_format", "url"}},
                           {{"output_format", "png"}},
                           {{"output_format", "jpeg"}},
                           {{"output_format", "webp"}},
                           {{"output_compression", 50}},
                           {{"background", "opaque"}},
                           {{"background", "auto"}},
                           {{"moderation", "low"}},
                           {{"stream", false}},
                           {{"partial_images", 0}},
                           {{"partial_images", 3}},
                           {{"user", 123}},
                           {{"user", ""}},
                           {{"foo", 1}},
                           {{"width", "x"}},
                           {{"request_timeout", 600}},
                           {{"safety_identifier", {1}}},
                           {{"model", ""}},
                           {{"guidance_scale", 0}},
                           {{"guidance_scale", 100}},
                           {{"eta", 1}},
                           {{"clip_skip", 0}},
                           {{"steps", 1}},
                           {{"num_inference_steps", 250}},
                           {{"num_inference_steps", 20.0}},
                           {{"negative_prompt", ""}}};
  for (const auto& fields : harmless) EXPECT_NO_THROW(read_image_body(fields)) << fields.dump();
}

struct BodyRefusal {
  const char* field;
  json value;
  const char* code;
};

TEST(ImageRequest, InvalidValuesAreReportedWithParam) {
  const std::string long_prompt(32001, 'x');
  const BodyRefusal refusals[] = {
      {"prompt", "", "empty_string"},
      {"prompt", nullptr, "invalid_type"},
      {"prompt", 123, "invalid_type"},
      {"prompt", {"a"}, "invalid_type"},
      {"prompt", json::object(), "invalid_type"},
      {"prompt", long_prompt, "string_above_max_length"},
      {"model", 123, "invalid_type"},
      {"model", json::object(), "invalid_type"},
      {"model", "unknown", "model_not_found"},
      {"model", "Tiny", "model_not_found"},
      {"model", "gpt-4", "model_not_found"},
      {"n", 0, "integer_below_min_value"},
      {"n", -1, "integer_below_min_value"},
      {"n", 11, "integer_above_max_value"},
      {"n", "2", "invalid_type"},
      {"n", "abc", "invalid_type"},
      {"n", true, "invalid_type"},
      {"n", 1.5, "invalid_type"},
      {"n", json::array({1}), "invalid_type"},
      {"n", 1e300, "integer_above_max_value"},
      {"n", -1e300, "integer_below_min_value"},
      {"n", 18446744073709551615u, "integer_above_max_value"},
      {"n", 4294967297, "integer_above_max_value"},
      {"size", "512", "invalid_value"},
      {"size", "abc", "invalid_value"},
      {"size", "512X512", "invalid_value"},
      {"size", "512×512", "invalid_value"},
      {"size", "512x", "invalid_value"},
      {"size", "x512", "invalid_value"},
      {"size", "x", "invalid_value"},
      {"size", " 512x512", "invalid_value"},
      {"size", "512x512 ", "invalid_value"},
      {"size", "-1x512", "invalid_value"},
      {"size", "+512x512", "invalid_value"},
      {"size", "0x0", "invalid_value"},
      {"size", "0512x512", "invalid_value"},
      {"size", "1e3x512", "invalid_value"},
      {"size", "512x512x3", "invalid_value"},
      {"size", "512.0x512", "invalid_value"},
      {"size", "99999999999x512", "invalid_value"},
      {"size", "100000x100000", "invalid_value"},
      {"size", "9x9", "invalid_value"},
      {"size", "2049x512", "invalid_value"},
      {"size", "512x99999", "invalid_value"},
      {"size", "AUTO", "invalid_value"},
      {"size", 512, "invalid_type"},
      {"size", {512, 512}, "invalid_type"},
      {"quality", "ultra", "invalid_value"},
      {"quality", 1, "invalid_type"},
      {"style", "x", "invalid_value"},
      {"moderation", "x", "invalid_value"},
      {"background", "x", "invalid_value"},
      {"background", "transparent", "invalid_value"},
      {"output_format", "bmp", "invalid_value"},
      {"output_format", "gif", "invalid_value"},
      {"output_format", "svg", "invalid_value"},
      {"output_compression", 101, "integer_above_max_value"},
      {"output_compression", -1, "integer_below_min_value"},
      {"output_compression", "50", "invalid_type"},
      {"response_format", "png", "invalid_value"},
      {"response_format", true, "invalid_type"},
      {"stream", "yes", "invalid_type"},
      {"stream", 1, "invalid_type"},
      {"partial_images", 4, "integer_above_max_value"},
      {"partial_images", -1, "integer_below_min_value"},
      {"negative_prompt", 1, "invalid_type"},
      {"negative_prompt", long_prompt, "string_above_max_length"},
      {"guidance_scale", -0.5, "decimal_below_min_value"},
      {"guidance_scale", 100.5, "decimal_above_max_value"},
      {"guidance_scale", 1e308, "decimal_above_max_value"},
      {"guidance_scale", "7", "invalid_type"},
      {"guidance_scale", true, "invalid_type"},
      {"num_inference_steps", 0, "integer_below_min_value"},
      {"num_inference_steps", 251, "integer_above_max_value"},
      {"num_inference_steps", "20", "invalid_type"},
      {"num_inference_steps", 20.5, "invalid_type"},
      {"steps", 0, "integer_below_min_value"},
      {"steps", 1e9, "integer_above_max_value"},
      {"steps", "x", "invalid_type"},
      {"scheduler", "magic", "invalid_value"},
      {"scheduler", "", "invalid_value"},
      {"scheduler", 1, "invalid_type"},
      {"eta", 1.1, "decimal_above_max_value"},
      {"eta", -0.1, "decimal_below_min_value"},
      {"eta", "0", "invalid_type"},
      {"clip_skip", 3, "integer_above_max_value"},
      {"clip_skip", -1, "integer_below_min_value"},
      {"clip_skip", "1", "invalid_type"},
      {"seed", -2, "integer_below_min_value"},
      {"seed", 1.5, "invalid_type"},
      {"seed", 1.0, "invalid_type"},
      {"seed", "18446744073709551616", "integer_above_max_value"},
      {"seed", "-18446744073709551616", "integer_below_min_value"},
      {"seed", 1e20, "integer_above_max_value"},
      {"seed", -1e20, "integer_below_min_value"},
      {"seed", true, "invalid_type"},
      {"seed", json::array(), "invalid_type"},
      {"seed", "", "invalid_value"},
      {"seed", "abc", "invalid_value"},
      {"seed", "1.5", "invalid_value"},
      {"seed", " 1", "invalid_value"},
      {"seed", "+1", "invalid_value"},
      {"seed", "-", "invalid_value"},
      {"seed", "0x1", "invalid_value"},
      {"seed", "-2", "integer_below_min_value"},
      {"seed", "18446744073709551616", "integer_above_max_value"},
      {"seed", std::string(400, '9'), "integer_above_max_value"},
      {"seed", "-99999999999999999999", "integer_below_min_value"},
  };
  for (const auto& expected : refusals) {
    const auto error = field_refusal(expected.field, expected.value);
    SCOPED_TRACE(std::string(expected.field) + " = " + expected.value.dump().substr(0, 80) + ": " + error.message);
    EXPECT_EQ(error.status, 400);
    EXPECT_EQ(error.type, "invalid_request_error");
    EXPECT_EQ(error.param, expected.field);
    EXPECT_EQ(error.code, expected.code);
    EXPECT_LT(error.message.size(), 400u) << "the megabytes that a client sent must not be sent back";
  }
}

TEST(ImageRequest, MissingPromptReturns400) {
  const auto error = body_refusal(json::object());
  EXPECT_EQ(error.code, "missing_required_parameter");
  EXPECT_EQ(error.param, "prompt");
}

TEST(ImageRequest, MessagesNameTheAllowedValues) {
  EXPECT_NE(field_refusal("quality", "ultra").message.find("standard, hd, low"), std::string::npos);
  EXPECT_NE(field_refusal("scheduler", "magic").message.find("ddim, euler"), std::string::npos);
  EXPECT_NE(field_refusal("n", 11).message.find("1 to 10"), std::string::npos);
  EXPECT_NE(field_refusal("n", 1.5).message.find("a decimal number"), std::string::npos);
  EXPECT_NE(field_refusal("size", "2049x512").message.find("2048"), std::string::npos);
}

TEST(ImageRequest, PromptLimitCountsCodePoints) {
  const ServerOptions limits{.max_prompt_chars = 4};
  EXPECT_NO_THROW(read_image_body({{"prompt", "é😀漢x"}}, limits));
  EXPECT_EQ(body_refusal({{"prompt", "é😀漢xy"}}, limits).code, "string_above_max_length");
}

TEST(ImageRequest, PromptIsPassedUnchanged) {
  const auto odd = "  a\r\nb\t\0c \xe2\x80\xae \xf0\x9f\x98\x80 "s;
  EXPECT_EQ(read_image_body({{"prompt", odd}}).prompt, odd);
}

TEST(ImageRequest, BoundsTheSizeByEdgesAndArea) {
  const ServerOptions limits{.min_edge = 32, .max_edge = 1000, .max_pixels = 500 * 500};
  EXPECT_NO_THROW(read_image_body({{"size", "1000x250"}}, limits));
  EXPECT_EQ(body_refusal({{"prompt", "x"}, {"size", "501x500"}}, limits).param, "size");
  EXPECT_EQ(body_refusal({{"prompt", "x"}, {"size", "1001x32"}}, limits).param, "size");
  EXPECT_EQ(body_refusal({{"prompt", "x"}, {"size", "31x32"}}, limits).param, "size");
}

TEST(ImageRequest, ReportsErrorsInAFixedOrder) {
  // Every entry is invalid; the first one that is left must be reported.
  const std::vector<std::pair<const char*, json>> faults = {{"model", 1},
                                                            {"prompt", 1},
                                                            {"n", "x"},
                                                            {"quality", "x"},
                                                            {"style", "x"},
                                                            {"moderation", "x"},
                                                            {"background", "x"},
                                                            {"output_format", "x"},
                                                            {"output_compression", "x"},
                                                            {"response_format", "x"},
                                                            {"stream", "x"},
                                                            {"partial_images", "x"},
                                                            {"size", "x"},
                                                            {"negative_prompt", 1},
                                                            {"seed", "x"},
                                                            {"guidance_scale", "x"},
                                                            {"steps", "x"},
                                                            {"num_inference_steps", "x"},
                                                            {"scheduler", "x"},
                                                            {"eta", "x"},
                                                            {"clip_skip", "x"},
                                                            {"guidance_interval", "x"},
                                                            {"guidance_rescale", "x"},
                                                            {"denoising_end", "x"},
                                                            {"strength", "x"},
                                                            {"image_guidance_scale", "x"},
                                                            {"noise_level", "x"},
                                                            {"original_size", "x"},
                                                            {"crops_coords_top_left", "x"},
                                                            {"target_size", "x"},
                                                            {"negative_original_size", "x"},
                                                            {"negative_crops_coords_top_left", "x"},
                                                            {"negative_target_size", "x"},
                                                            {"aesthetic_score", "x"},
                                                            {"negative_aesthetic_score", "x"},
                                                            {"timesteps", "x"},
                                                            {"sigmas", "x"},
                                                            {"prompt_syntax", "x"},
                                                            {"loras", 1}};
  json body;
  for (const auto& [field, value] : faults) body[field] = value;
  for (const auto& [field, value] : faults) {
    EXPECT_EQ(body_refusal(body).param, field);
    body.erase(field);
    body.emplace("prompt", "a cat");
  }
  EXPECT_EQ(body_refusal(body).status, 0);
}

TEST(ImageRequest, OpenAiModelNamesMeanTheDefaultUnlessServed) {
  for (const char* name :
       {"dall-e-2", "gpt-image-1", "gpt-image-2.5-sunburst-2026-09-08", "chatgpt-image-latest", ""}) {
    EXPECT_EQ(read_image_body({{"model", name}}).model, "tiny") << name;
  }
  EXPECT_EQ(read_image_body({{"model", "dall-e-3"}}).model, "dall-e-3");
}

TEST(ImageRequest, AzuresDeploymentIsTheDefaultModel) {
  EXPECT_EQ(read_image_body({}, {}, "dall-e-3").model, "dall-e-3");
  EXPECT_EQ(read_image_body({{"model", "tiny"}}, {}, "dall-e-3").model, "tiny");
  EXPECT_EQ(read_image_body({}, {}, "gpt-image-1").model, "tiny");
  EXPECT_THROW(read_image_body({}, {}, "unknown"), HttpFailure);
}

}  // namespace
}  // namespace easel::http
