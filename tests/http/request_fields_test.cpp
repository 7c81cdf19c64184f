// The rows of the request fields: what fills the request, what is refused and under which name.
#include "http/openai/fields/request_fields.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "http/support/scripted_engine.h"

namespace easel::http {
namespace {

using nlohmann::json;
using Pixels = MicroConditioning::Pixels;

ImageRequest read_object(const json& object, bool has_input_image = true, const ServerOptions& limits = {}) {
  static const std::vector<ModelDescription> models = {test::tiny_model("tiny")};
  auto body = object;
  body["prompt"] = "a cat";
  return read_request_fields(Fields(body), {.models = models,
                                            .limits = limits,
                                            .default_model = "",
                                            .task = has_input_image ? ImageTask::kEdit : ImageTask::kGenerate});
}

HttpError object_refusal(const json& object, bool has_input_image = true) {
  try {
    read_object(object, has_input_image);
  } catch (const HttpFailure& failure) {
    return failure.error();
  }
  return {.status = 0};
}

TEST(RequestFields, FillTheRequest) {
  const auto request = read_object({{"guidance_interval", {0.2, 1}},
                                    {"guidance_rescale", 0.7},
                                    {"denoising_end", 0.8},
                                    {"strength", 0.25},
                                    {"padding_mask_crop", 12},
                                    {"keep_unmasked", false},
                                    {"image_guidance_scale", 1.5},
                                    {"negative_prompt", "x"},
                                    {"true_cfg_scale", 2.5},
                                    {"noise_level", 20},
                                    {"original_size", {1024, 768}},
                                    {"crops_coords_top_left", {1, 2}},
                                    {"target_size", {512, 256}},
                                    {"negative_original_size", {3, 4}},
                                    {"negative_crops_coords_top_left", {5, 6}},
                                    {"negative_target_size", {7, 8}},
                                    {"aesthetic_score", 7.5},
                                    {"negative_aesthetic_score", 1},
                                    {"timesteps", {999, 499.5, 0}},
                                    {"prompt_syntax", "a1111"},
                                    {"loras", {"plain", {{"name", "strong"}, {"weight", -1.5}}, {{"name", "usual"}}}}});
  EXPECT_EQ(request.guidance_interval, (GuidanceInterval{.start = 0.2, .end = 1}));
  EXPECT_EQ(request.guidance_rescale, 0.7);
  EXPECT_EQ(request.denoising_end, 0.8);
  EXPECT_EQ(request.strength, 0.25);
  EXPECT_EQ(request.padding_mask_crop, 12);
  EXPECT_FALSE(request.keep_unmasked);
  EXPECT_EQ(request.image_guidance_scale, 1.5);
  EXPECT_EQ(request.true_cfg_scale, 2.5);
  EXPECT_EQ(request.noise_level, 20);
  const auto& conditions = request.micro_conditioning;
  EXPECT_EQ(conditions.original_size, Pixels(1024, 768));
  EXPECT_EQ(conditions.crops_coords_top_left, Pixels(1, 2));
  EXPECT_EQ(conditions.target_size, Pixels(512, 256));
  EXPECT_EQ(conditions.negative_original_size, Pixels(3, 4));
  EXPECT_EQ(conditions.negative_crops_coords_top_left, Pixels(5, 6));
  EXPECT_EQ(conditions.negative_target_size, Pixels(7, 8));
  EXPECT_EQ(conditions.aesthetic_score, 7.5);
  EXPECT_EQ(conditions.negative_aesthetic_score, 1.0);
  EXPECT_EQ(request.timesteps, (std::vector<double>{999, 499.5, 0}));
  EXPECT_TRUE(request.sigmas.empty());
  EXPECT_EQ(request.prompt_syntax, PromptSyntax::kA1111);
  ASSERT_EQ(request.loras.size(), 3u);
  EXPECT_EQ(request.loras[0].name, "plain");
  EXPECT_EQ(request.loras[0].weight, 1.0);
  EXPECT_EQ(request.loras[1].name, "strong");
  EXPECT_EQ(request.loras[1].weight, -1.5);
  EXPECT_EQ(request.loras[2].weight, 1.0);
  EXPECT_EQ(read_object({{"sigmas", {14.6, 0.03}}}).sigmas, (std::vector<double>{14.6, 0.03}));
  EXPECT_EQ(read_object({{"prompt_syntax", "plain"}}).prompt_syntax, PromptSyntax::kPlain);
  EXPECT_EQ(read_object({{"image_guidance_scale", 0.5}}).image_guidance_scale, 0.5)
      << "turns guidance off, as in diffusers";
}

TEST(RequestFields, HaveDiffusersDefaults) {
  const auto request = read_object(json::object());
  EXPECT_FALSE(request.guidance_interval || request.strength || request.denoising_end || request.image_guidance_scale ||
               request.noise_level || request.prompt_syntax);
  EXPECT_TRUE(request.timesteps.empty() && request.sigmas.empty() && request.loras.empty());
  EXPECT_TRUE(request.keep_unmasked) << "unlike diffusers, edits keep what the mask keeps";
  EXPECT_FALSE(request.padding_mask_crop);
  EXPECT_FALSE(read_object(json::object(), /*has_input_image=*/false).keep_unmasked);
  EXPECT_EQ(request.guidance_rescale, 0.0);
  EXPECT_FALSE(request.micro_conditioning.original_size || request.micro_conditioning.target_size);
  EXPECT_EQ(request.micro_conditioning.crops_coords_top_left, Pixels(0, 0));
  EXPECT_EQ(request.micro_conditioning.aesthetic_score, 6.0);
  EXPECT_EQ(request.micro_conditioning.negative_aesthetic_score, 2.5);
  EXPECT_TRUE(read_object({{"loras", json::array()}}).loras.empty());
}

struct ObjectRefusal {
  json object;
  const char* param;
  const char* code;
};

TEST(RequestFields, InvalidValuesAreReportedWithParam) {
  const json one = json::array({1});
  const ObjectRefusal refusals[] = {
      {{{"guidance_rescale", 1.5}}, "guidance_rescale", "decimal_above_max_value"},
      {{{"guidance_rescale", "1"}}, "guidance_rescale", "invalid_type"},
      {{{"guidance_interval", 0.5}}, "guidance_interval", "invalid_type"},
      {{{"guidance_interval", json::array({0.5})}}, "guidance_interval", "invalid_value"},
      {{{"guidance_interval", {0, 0.5, 1}}}, "guidance_interval", "array_above_max_length"},
      {{{"guidance_interval", {0.8, 0.2}}}, "guidance_interval", "invalid_value"},
      {{{"guidance_interval", {0.5, 0.5}}}, "guidance_interval", "invalid_value"},
      {{{"guidance_interval", {0, 1.5}}}, "guidance_interval[1]", "decimal_above_max_value"},
      {{{"guidance_interval", {-0.5, 1}}}, "guidance_interval[0]", "decimal_below_min_value"},
      {{{"denoising_end", -0.1}}, "denoising_end", "decimal_below_min_value"},
      {{{"strength", 1.01}}, "strength", "decimal_above_max_value"},
      {{{"strength", -0.5}}, "strength", "decimal_below_min_value"},
      {{{"strength", one}}, "strength", "invalid_type"},
      {{{"image_guidance_scale", -0.5}}, "image_guidance_scale", "decimal_below_min_value"},
      {{{"noise_level", 1.5}}, "noise_level", "invalid_type"},
      {{{"noise_level", -1}}, "noise_level", "integer_below_min_value"},
      {{{"noise_level", 1000}}, "noise_level", "integer_above_max_value"},
      {{{"original_size", "1024x1024"}}, "original_size", "invalid_type"},
      {{{"original_size", one}}, "original_size", "invalid_value"},
      {{{"original_size", {1, 2, 3}}}, "original_size", "array_above_max_length"},
      {{{"original_size", {1.5, 2}}}, "original_size", "invalid_value"},
      {{{"original_size", {0, 2}}}, "original_size[0]", "decimal_below_min_value"},
      {{{"target_size", {1, 70000}}}, "target_size[1]", "decimal_above_max_value"},
      {{{"crops_coords_top_left", {0, -1}}}, "crops_coords_top_left[1]", "decimal_below_min_value"},
      {{{"negative_target_size", {1, "2"}}}, "negative_target_size[1]", "invalid_type"},
      {{{"aesthetic_score", 101}}, "aesthetic_score", "decimal_above_max_value"},
      {{{"negative_aesthetic_score", -1}}, "negative_aesthetic_score", "decimal_below_min_value"},
      {{{"timesteps", json::array()}}, "timesteps", "empty_array"},
      {{{"timesteps", 999}}, "timesteps", "invalid_type"},
      {{{"timesteps", {999, nullptr}}}, "timesteps[1]", "invalid_type"},
      {{{"timesteps", {999, -1}}}, "timesteps[1]", "decimal_below_min_value"},
      {{{"timesteps", json(std::vector<int>(251, 1))}}, "timesteps", "array_above_max_length"},
      {{{"sigmas", {1e9, 0}}}, "sigmas[0]", "decimal_above_max_value"},
      {{{"sigmas", json(std::vector<int>(251, 1))}}, "sigmas", "array_above_max_length"},
      {{{"timesteps", one}, {"sigmas", one}}, "sigmas", "invalid_value"},
      {{{"prompt_syntax", "A1111"}}, "prompt_syntax", "invalid_value"},
      {{{"prompt_syntax", 1}}, "prompt_syntax", "invalid_type"},
      {{{"loras", "name"}}, "loras", "invalid_type"},
      {{{"loras", one}}, "loras[0]", "invalid_type"},
      {{{"loras", {"a", json::object()}}}, "loras[1].name", "missing_required_parameter"},
      {{{"loras", json::array({""})}}, "loras[0].name", "empty_string"},
      {{{"loras", json::array({json{{"name", 1}}})}}, "loras[0].name", "invalid_type"},
      {{{"loras", json::array({json{{"name", std::string(256, 'x')}}})}}, "loras[0].name", "string_above_max_length"},
      {{{"loras", json::array({json{{"name", "a"}, {"weight", "1"}}})}}, "loras[0].weight", "invalid_type"},
      {{{"loras", json::array({json{{"name", "a"}, {"scale", 1}}})}}, "loras[0].scale", "unknown_parameter"},
      {{{"loras", json(std::vector<std::string>(17, "a"))}}, "loras", "array_above_max_length"}};
  for (const auto& expected : refusals) {
    SCOPED_TRACE(expected.object.dump().substr(0, 100));
    const auto error = object_refusal(expected.object);
    EXPECT_EQ(error.status, 400);
    EXPECT_EQ(error.param, expected.param) << error.message;
    EXPECT_EQ(error.code, expected.code) << error.message;
  }
}

TEST(RequestFields, ImageFieldsHaveNoUseWithoutAnInputImage) {
  for (const auto& [field, value] : {std::pair{"strength", 0.5},
                                     {"denoising_strength", 0.5},
                                     {"image_guidance_scale", 1.5},
                                     {"noise_level", 20.0}}) {
    EXPECT_TRUE(read_object({{field, value}}).response.ignored.empty()) << field;
    const auto request = read_object({{field, value}}, /*has_input_image=*/false);
    EXPECT_EQ(request.response.ignored, std::vector<std::string>{field});
    EXPECT_FALSE(request.strength || request.image_guidance_scale || request.noise_level) << field;
    EXPECT_EQ(object_refusal({{field, "x"}}, /*has_input_image=*/false).code, "invalid_type")
        << "their types are checked";
    const auto error = object_refusal({{field, value}, {"strict", true}}, /*has_input_image=*/false);
    EXPECT_EQ(error.param, field);
    EXPECT_EQ(error.code, "unsupported_parameter");
    EXPECT_NE(error.message.find("/v1/images/edits"), std::string::npos);
  }
}

TEST(RequestFields, EveryRowHasItsOwnNameAndADocumentation) {
  std::set<std::string> names;
  for (const auto& field : request_fields()) {
    EXPECT_TRUE(names.insert(field.name).second) << field.name;
    EXPECT_EQ(find_request_field(field.name), &field);
    EXPECT_NE(std::string(field.documentation), "") << field.name;
  }
  EXPECT_EQ(find_request_field("unknown"), nullptr);
  EXPECT_EQ(find_request_field(""), nullptr);
  EXPECT_STREQ(request_fields().front().name, "model") << "the rows after it depend on the model";
}

// A value of another type is refused under the field's name, whatever the field is. Files come with the body.
TEST(RequestFields, EveryRowChecksTheTypeOfItsValue) {
  for (const auto& field : request_fields()) {
    if (type_of(field) == FieldType::kFile || field.name == std::string_view("prompt")) continue;
    json fields = {{"width", 24}, {"height", 16}};  // each of them counts only with the other
    fields[field.name] = type_of(field) == FieldType::kObject ? json({"a", "list"}) : json({{"an", "object"}});
    const auto error = object_refusal(fields);
    EXPECT_EQ(error.status, 400) << field.name;
    EXPECT_EQ(error.param, field.name);
    EXPECT_EQ(error.code, "invalid_type") << field.name;
  }
}

TEST(RequestFields, ListsAreBoundedByMaxSteps) {
  const ServerOptions limits{.max_steps = 3};
  EXPECT_EQ(read_object({{"timesteps", {3, 2, 1}}}, true, limits).timesteps.size(), 3u);
  EXPECT_THROW(read_object({{"timesteps", {4, 3, 2, 1}}}, true, limits), HttpFailure);
}

TEST(RequestFields, StepsIsAnAliasOfNumInferenceSteps) {
  EXPECT_EQ(read_object({{"steps", 5}}).num_inference_steps, 5);
  EXPECT_EQ(read_object({{"steps", 6.0}, {"num_inference_steps", 6}}).num_inference_steps, 6);
  const auto error = object_refusal({{"steps", 5}, {"num_inference_steps", 6}});
  EXPECT_EQ(error.code, "invalid_value");
  EXPECT_NE(error.message.find("`num_inference_steps`"), std::string::npos);
  EXPECT_NE(error.message.find("`steps`"), std::string::npos);
}

TEST(RequestFields, SeedsAreTakenAsGiven) {
  EXPECT_EQ(read_object({{"seed", 0}}).seed, 0u);
  EXPECT_EQ(read_object({{"seed", "0"}}).seed, 0u);
  EXPECT_EQ(read_object({{"seed", 9223372036854775807}}).seed, 9223372036854775807u);
  EXPECT_EQ(read_object({{"seed", "9223372036854775807"}}).seed, 9223372036854775807u);
  EXPECT_EQ(read_object({{"seed", "9007199254740993"}}).seed, 9007199254740993u);
  EXPECT_EQ(read_object({{"seed", 18446744073709551615u}}).seed, 18446744073709551615u);
  EXPECT_EQ(read_object({{"seed", "18446744073709551615"}}).seed, 18446744073709551615u);
}

TEST(RequestFields, RandomSeedsFitIn32Bits) {
  for (const json& fields : {json::object(), json{{"seed", nullptr}}, json{{"seed", -1}}, json{{"seed", "-1"}}}) {
    std::set<std::uint64_t> seeds;
    for (int i = 0; i < 50; ++i) seeds.insert(read_object(fields).seed);
    EXPECT_GT(seeds.size(), 45u) << fields.dump();
    EXPECT_LT(*seeds.rbegin(), std::uint64_t{1} << 32);
  }
}

}  // namespace
}  // namespace easel::http
