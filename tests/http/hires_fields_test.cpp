// The field `hires`: a second pass over a larger version of an image.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "http/openai/fields/form_fields.h"
#include "http/openai/requests/openai_images.h"
#include "http/support/scripted_engine.h"
#include "provenance/request_json.h"

namespace easel::http {
namespace {

using nlohmann::json;

const std::vector<ModelDescription>& models() {
  static const std::vector<ModelDescription> served = [] {
    auto upscaler = test::tiny_model("x4");
    upscaler.upscale_factor = 4;
    return std::vector<ModelDescription>{test::tiny_model("tiny"), upscaler};
  }();
  return served;
}

ImageRequest read_hires(const json& hires, const json& more = json::object(), ImageTask task = ImageTask::kGenerate) {
  json body = {{"prompt", "a cat"}, {"hires", hires}};
  body.update(more);
  const ServerOptions limits{.aliases = {{"sharp", "x4"}}, .max_edge = 256};
  return read_image_request(body, models(), limits, "", task);
}

HttpError hires_refusal(const json& hires, const json& more = json::object()) {
  try {
    read_hires(hires, more);
  } catch (const HttpFailure& failure) {
    return failure.error();
  }
  return {.status = 0};
}

TEST(HiresFields, DefaultsAreA1111s) {
  const auto request = read_hires(json::object(), {{"size", "48x32"}});
  ASSERT_TRUE(request.hires);
  EXPECT_EQ(request.width, 48) << "of the first pass";
  EXPECT_EQ(request.hires->width, 96);
  EXPECT_EQ(request.hires->height, 64);
  EXPECT_EQ(request.hires->strength, 0.75);
  EXPECT_EQ(request.hires->upscaler, HiresUpscaler::kLatent);
  EXPECT_EQ(request.hires->num_inference_steps, std::nullopt);
  EXPECT_EQ(output_size(request, models()[0]), (std::pair{96, 64}));
  EXPECT_EQ(read_hires(json::object()).hires->width, 2 * 24) << "of the model's own size";
  EXPECT_FALSE(read_hires(nullptr).hires);
}

TEST(HiresFields, EveryMemberIsRead) {
  const auto hires =
      *read_hires({{"scale", 1.5}, {"steps", 7}, {"strength", 0.4}, {"upscaler", "Latent (nearest-exact)"}},
                  {{"size", "33x20"}})
           .hires;
  EXPECT_EQ(hires.width, 49) << "rounded down, as A1111 does";
  EXPECT_EQ(hires.height, 30);
  EXPECT_EQ(hires.num_inference_steps, 7);
  EXPECT_EQ(hires.strength, 0.4);
  EXPECT_EQ(hires.upscaler, HiresUpscaler::kLatentNearestExact);
  EXPECT_EQ(read_hires({{"width", 100}, {"height", 50}}).hires->width, 100);
}

TEST(HiresFields, EveryNameIsAWayAndModelsUpscaleByTheirIds) {
  for (const auto& row : kHiresUpscalers) {
    const auto hires = *read_hires({{"upscaler", row.name}}).hires;
    EXPECT_EQ(hires.upscaler, row.upscaler) << row.name;
    EXPECT_EQ(hires.upscaler_name(), row.name);
  }
  EXPECT_EQ(read_hires({{"upscaler", "x4"}}).hires->upscaler_model, "x4");
  EXPECT_EQ(read_hires({{"upscaler", "sharp"}}).hires->upscaler_model, "x4") << "by an alias";
}

TEST(HiresFields, MistakesAreNamed) {
  EXPECT_EQ(hires_refusal({{"scal", 2}}).param, "hires.scal");
  EXPECT_EQ(hires_refusal({{"scal", 2}}).code, "unknown_parameter");
  EXPECT_EQ(hires_refusal({{"scale", 0.5}}).param, "hires.scale");
  EXPECT_EQ(hires_refusal({{"scale", "2"}}).code, "invalid_type");
  EXPECT_EQ(hires_refusal({{"scale", 8}}, {{"size", "64x64"}}).param, "hires.scale") << "above --max-edge";
  EXPECT_EQ(hires_refusal({{"width", 100}}).param, "hires");
  EXPECT_EQ(hires_refusal({{"width", 100}, {"height", 9000}}).param, "hires.width");
  EXPECT_EQ(hires_refusal({{"width", 100}, {"height", 50}, {"scale", 2}}).param, "hires.width");
  EXPECT_EQ(hires_refusal({{"steps", 0}}).param, "hires.steps");
  EXPECT_EQ(hires_refusal({{"strength", 2}}).param, "hires.strength");
  const auto unknown = hires_refusal({{"upscaler", "ESRGAN"}});
  EXPECT_EQ(unknown.param, "hires.upscaler");
  EXPECT_NE(unknown.message.find("Latent (bicubic)"), std::string::npos) << unknown.message;
  EXPECT_EQ(hires_refusal({{"upscaler", "tiny"}}).status, 400) << "a model that does not upscale";
  EXPECT_EQ(hires_refusal("twice").param, "hires");
}

TEST(HiresFields, WithAnImageItIsSetAside) {
  const auto request = read_hires({{"scale", 2}}, json::object(), ImageTask::kEdit);
  EXPECT_FALSE(request.hires);
  EXPECT_EQ(request.response.ignored, std::vector<std::string>{"hires"});
  try {
    read_hires({{"scale", 2}}, {{"strict", true}}, ImageTask::kEdit);
    FAIL() << "a strict request is refused";
  } catch (const HttpFailure& failure) {
    EXPECT_EQ(failure.error().param, "hires");
  }
}

TEST(HiresFields, FormsHaveItAsJson) {
  const auto fields = form_to_json({{.name = "hires", .content = R"({"scale": 3})"}});
  EXPECT_EQ(fields["hires"]["scale"], 3);
}

TEST(HiresFields, TheRecordOfAnImageHasIt) {
  for (const char* upscaler : {"Latent (bicubic)", "x4"}) {
    const auto request = read_hires({{"upscaler", upscaler}, {"steps", 5}, {"strength", 0.5}});
    GenerationRequest again;
    request_from_json(json::parse(request_to_json(request).dump()), again);
    EXPECT_EQ(again.hires, request.hires);
  }
}

}  // namespace
}  // namespace easel::http
