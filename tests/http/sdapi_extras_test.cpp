// The routes of A1111's API that do not draw, and prompts for models without CLIP.
#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/base64.h"
#include "easel/image.h"
#include "easel/image_file.h"
#include "http/support/running_server.h"

namespace easel::test {
namespace {

using nlohmann::json;

Response ask_extras(const RunningServer& server, const std::string& route, const json& body) {
  return server.ask(request_text("POST", "/sdapi/v1/" + route, body.dump()));
}

std::string file_of(int width, int height, std::uint8_t gray = 100) {
  const auto bytes = static_cast<std::size_t>(width * height * Image::kChannels);
  return base64_encode(
      encode_png({.width = width, .height = height, .pixels = std::vector<std::uint8_t>(bytes, gray)}));
}

Image image_of(const json& text) {
  return decode_image(base64_decode(text.get<std::string>()).value(), {}).image;
}

TEST(SdapiExtras, OneImageBecomesLarger) {
  const RunningServer server;
  const auto twice = ask_extras(server, "extra-single-image", {{"image", file_of(20, 10)}});
  ASSERT_EQ(twice.status, 200) << twice.body;
  const auto image = image_of(twice.json()["image"]);
  EXPECT_EQ(image.width, 40);
  EXPECT_EQ(image.height, 20);
  EXPECT_EQ(image.pixels, std::vector<std::uint8_t>(40 * 20 * 3, 100));
  EXPECT_EQ(twice.json()["html_info"], "");
  const auto size_of = [&](const json& more) {
    json body = {{"image", "data:image/png;base64," + file_of(20, 10)}};
    body.update(more);
    const auto response = ask_extras(server, "extra-single-image", body);
    EXPECT_EQ(response.status, 200) << response.body;
    const auto larger = image_of(response.json()["image"]);
    return std::pair(larger.width, larger.height);
  };
  EXPECT_EQ(size_of({{"upscaling_resize", 3}, {"upscaler_1", "Nearest"}}), std::pair(60, 30));
  const json square = {{"resize_mode", 1}, {"upscaling_resize_w", 50}, {"upscaling_resize_h", 50}};
  EXPECT_EQ(size_of(square), std::pair(50, 50)) << "filled and cut";
  auto whole = square;
  whole["upscaling_crop"] = false;
  EXPECT_EQ(size_of(whole), std::pair(50, 25)) << "fitted";
  EXPECT_TRUE(server.engine.requests().empty()) << "no model was asked";
}

TEST(SdapiExtras, AModelUpscalesEachImage) {
  const auto server = server_with_upscaler();
  const json list = {{{"data", file_of(8, 8, 1)}, {"name", "a.png"}}, {{"data", file_of(8, 8, 2)}, {"name", "b.png"}}};
  const auto response =
      ask_extras(server, "extra-batch-images", {{"imageList", list}, {"upscaler_1", "x2"}, {"upscaling_resize", 3}});
  ASSERT_EQ(response.status, 200) << response.body;
  ASSERT_EQ(response.json()["images"].size(), 2u);
  EXPECT_EQ(image_of(response.json()["images"][1]).width, 24) << "of the asked size, whatever the model's factor is";
  const auto requests = server.engine.requests();
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_EQ(requests[0].model, "x2");
  EXPECT_EQ(requests[1].image->pixels.front(), 2);
}

TEST(SdapiExtras, MistakesAreRefused) {
  const RunningServer server;
  EXPECT_EQ(ask_extras(server, "extra-single-image", json::object()).status, 422);
  EXPECT_EQ(ask_extras(server, "extra-single-image", {{"image", "?"}}).status, 422);
  EXPECT_EQ(ask_extras(server, "extra-single-image", {{"image", base64_encode("no image")}}).status, 400);
  EXPECT_EQ(ask_extras(server, "extra-single-image", {{"image", file_of(8, 8)}, {"upscaler_1", "ESRGAN"}}).status, 404);
  EXPECT_EQ(ask_extras(server, "extra-single-image", {{"image", file_of(8, 8)}, {"upscaling_resize", 1e9}}).status,
            400);
  EXPECT_EQ(ask_extras(server, "extra-single-image", {{"image", file_of(600, 8)}, {"upscaling_resize", 8}}).status,
            400);
  EXPECT_EQ(ask_extras(server, "extra-batch-images", {{"imageList", json::array()}}).status, 422);
  EXPECT_EQ(ask_extras(server, "extra-batch-images", {{"imageList", {"text"}}}).status, 422);
}

TEST(SdapiExtras, ListsComeFromTheServersOptions) {
  std::atomic<int> refreshed = 0;
  const RunningServer server({.list_words = [] { return std::vector<LearnedWord>{{"<cat>", 3, 768}}; },
                              .read_memory =
                                  [] {
                                    return std::vector<DeviceMemory>{{.device = "cpu", .free = 10, .total = 30},
                                                                     {.device = "cuda:0", .free = 5, .total = 9},
                                                                     {.device = "cuda:1", .free = 1, .total = 9}};
                                  },
                              .refresh_models = [&refreshed] { ++refreshed; },
                              .autoencoders = {"fine.safetensors"}});
  const auto words = server.get("/sdapi/v1/embeddings").json();
  EXPECT_EQ(words["loaded"]["<cat>"]["vectors"], 3);
  EXPECT_EQ(words["loaded"]["<cat>"]["shape"], 768);
  const auto memory = server.get("/sdapi/v1/memory").json();
  EXPECT_EQ(memory["ram"], json({{"free", 10}, {"used", 20}, {"total", 30}}));
  EXPECT_EQ(memory["cuda"]["system"], json({{"free", 5}, {"used", 4}, {"total", 9}}));
  EXPECT_EQ(server.get("/sdapi/v1/sd-vae").json()[0]["model_name"], "fine.safetensors");
  EXPECT_EQ(ask_extras(server, "refresh-checkpoints", json::object()).body, "{}");
  EXPECT_EQ(refreshed, 1);
}

TEST(SdapiExtras, MasksAreBlurredByFourPixelsUnlessARequestSaysOtherwise) {
  const RunningServer server;
  Image mask{.width = 24, .height = 16, .pixels = std::vector<std::uint8_t>(24 * 16 * 3, 0)};
  for (std::size_t i = mask.pixels.size() / 2; i < mask.pixels.size(); ++i) mask.pixels[i] = 255;
  const auto distinct_values = [&](const json& more) {
    json body = {{"prompt", "a cat"},
                 {"init_images", {file_of(24, 16)}},
                 {"mask", base64_encode(encode_png(mask))},
                 {"inpaint_full_res", false}};
    body.update(more);
    EXPECT_EQ(ask_extras(server, "img2img", body).status, 200);
    const auto& pixels = server.engine.requests().back().mask->pixels;
    return std::set<std::uint8_t>(pixels.begin(), pixels.end()).size();
  };
  EXPECT_EQ(distinct_values({{"mask_blur", 0}}), 2u);
  const auto four = distinct_values({{"mask_blur", 4}});
  EXPECT_GT(four, 4u);
  EXPECT_EQ(distinct_values(json::object()), four) << "A1111's default";
}

TEST(SdapiExtras, OnlyThePartUnderTheMaskIsDrawnUnlessARequestSaysOtherwise) {
  const RunningServer server;
  const auto padding_of = [&](const json& more) {
    json body = {{"prompt", "a cat"}, {"init_images", {file_of(24, 16)}}, {"mask", file_of(24, 16, 255)}};
    body.update(more);
    const auto response = ask_extras(server, "img2img", body);
    EXPECT_EQ(response.status, 200) << response.body;
    EXPECT_FALSE(response.json()["parameters"].contains("ignored")) << response.body;
    return server.engine.requests().back().padding_mask_crop;
  };
  EXPECT_EQ(padding_of(json::object()), 32) << "A1111's defaults";
  EXPECT_EQ(padding_of({{"inpaint_full_res_padding", 8}}), 8);
  EXPECT_EQ(padding_of({{"inpaint_full_res", false}}), std::nullopt);
}

TEST(SdapiExtras, WithoutClipBracketsAreRemovedAndWeightsNamed) {
  auto model = tiny_model("without-clip");
  model.max_clip_skip = 0;
  const RunningServer server({}, {}, {model});
  const auto drawn = [&](const std::string& prompt) {
    const auto response = ask_extras(server, "txt2img", {{"prompt", prompt}});
    EXPECT_EQ(response.status, 200) << response.body;
    return response.json()["parameters"].value("ignored", json::array());
  };
  EXPECT_EQ(drawn("a (cat:1.3) BREAK <lora:ink:0.5> in \\(here\\)"), json({"prompt weights"}));
  EXPECT_EQ(server.engine.requests().back().prompt, "a cat <lora:ink:0.5> in (here)");
  EXPECT_EQ(server.engine.requests().back().prompt_syntax, PromptSyntax::kPlain);
  EXPECT_EQ(drawn("a (cat:1) here"), json::array());
  const RunningServer with_clip;
  ask_extras(with_clip, "txt2img", {{"prompt", "a (cat:1.3)"}});
  EXPECT_EQ(with_clip.engine.requests().back().prompt, "a (cat:1.3)");
}

}  // namespace
}  // namespace easel::test
