// A1111's hires fix.
#include <gtest/gtest.h>

#include <string>

#include "easel/hires.h"
#include "http/support/running_server.h"

namespace easel::test {
namespace {

using nlohmann::json;

Response text_to_image(const RunningServer& server, json body) {
  body["prompt"] = "a cat";
  return server.ask(request_text("POST", "/sdapi/v1/txt2img", body.dump()));
}

HiresPass hires_of(const RunningServer& server, const json& body) {
  const auto response = text_to_image(server, body);
  EXPECT_EQ(response.status, 200) << response.body;
  EXPECT_FALSE(response.json()["parameters"].contains("ignored")) << response.body;
  return server.engine.requests().back().hires.value_or(HiresPass{});
}

TEST(SdapiHires, EnableHrHasA1111sDefaults) {
  const RunningServer server;
  const auto response = text_to_image(server, {{"enable_hr", true}, {"width", 32}, {"height", 16}, {"steps", 6}});
  ASSERT_EQ(response.status, 200) << response.body;
  const auto request = server.engine.requests().back();
  EXPECT_EQ(request.width, 32);
  EXPECT_EQ(request.hires, (HiresPass{.width = 64, .height = 32}));
  const auto info = json::parse(response.json()["info"].get<std::string>());
  EXPECT_EQ(info["width"], 64) << "the size of the result";
  const auto text = info["infotexts"][0].get<std::string>();
  EXPECT_NE(text.find("Size: 32x16"), std::string::npos) << text;
  EXPECT_NE(text.find("Denoising strength: 0.75, Hires resize: 64x32, Hires upscaler: Latent"), std::string::npos)
      << text;
}

TEST(SdapiHires, MembersAreHonoured) {
  const RunningServer server;
  const json size = {{"enable_hr", true}, {"width", 40}, {"height", 20}};
  const auto with = [&](const json& more) {
    auto body = size;
    body.update(more);
    return hires_of(server, body);
  };
  EXPECT_EQ(with({{"hr_scale", 1.5}}).width, 60);
  EXPECT_EQ(with({{"denoising_strength", 0.3}}).strength, 0.3);
  EXPECT_EQ(with({{"hr_second_pass_steps", 5}}).num_inference_steps, 5);
  EXPECT_EQ(with({{"hr_second_pass_steps", 0}}).num_inference_steps, std::nullopt);
  EXPECT_EQ(with({{"hr_upscaler", "Latent (antialiased)"}}).upscaler, HiresUpscaler::kLatentAntialiased);
  EXPECT_EQ(with({{"hr_upscaler", "None"}}).upscaler, HiresUpscaler::kLanczos);
  EXPECT_EQ(with({{"hr_upscaler", "Nearest"}}).upscaler, HiresUpscaler::kNearest);
  EXPECT_EQ(with({{"hr_resize_x", 100}}).height, 50) << "of the same shape";
  EXPECT_EQ(with({{"hr_resize_y", 60}}).width, 120);
  const auto both = with({{"hr_resize_x", 80}, {"hr_resize_y", 80}, {"hr_scale", 3}});
  EXPECT_EQ(both.width, 80);
  EXPECT_EQ(both.height, 80);
}

TEST(SdapiHires, WithoutEnableHrItsMembersAreInert) {
  const RunningServer server;
  const auto response = text_to_image(
      server, {{"hr_scale", 3}, {"hr_upscaler", "no such"}, {"hr_resize_x", 5}, {"denoising_strength", 0.5}});
  ASSERT_EQ(response.status, 200) << response.body;
  EXPECT_FALSE(response.json()["parameters"].contains("ignored"));
  EXPECT_FALSE(server.engine.requests().back().hires);
}

TEST(SdapiHires, UnknownUpscalersAndTooLargeSizesAreRefused) {
  const RunningServer server;
  const auto unknown = text_to_image(server, {{"enable_hr", true}, {"hr_upscaler", "ESRGAN_4x"}});
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(unknown.json()["detail"], "Upscaler not found");
  const auto large = text_to_image(server, {{"enable_hr", true}, {"width", 1024}, {"height", 1024}, {"hr_scale", 4}});
  EXPECT_EQ(large.status, 400) << large.body;
}

TEST(SdapiHires, TheListsHaveWhatIsHonoured) {
  auto upscaler = tiny_model("x4");
  upscaler.upscale_factor = 4;
  const RunningServer server({}, {}, {tiny_model("tiny"), upscaler});
  for (const char* list : {"upscalers", "latent-upscale-modes"}) {
    for (const auto& row : server.get(std::string("/sdapi/v1/") + list).json()) {
      const auto response = text_to_image(server, {{"enable_hr", true}, {"hr_upscaler", row["name"]}});
      EXPECT_EQ(response.status, 200) << row << response.body;
    }
  }
  EXPECT_EQ(server.get("/sdapi/v1/latent-upscale-modes").json().size(), 6u);
  EXPECT_EQ(server.get("/sdapi/v1/upscalers").json()[0]["name"], "None");
}

}  // namespace
}  // namespace easel::test
