// Bodies of successful responses: which keys they have, and what they say about the images.
#include "http/openai/responses/image_result.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/base64.h"
#include "core/text.h"
#include "easel/image.h"
#include "easel/image_file.h"
#include "http/support/scripted_engine.h"

namespace easel::http {
namespace {

using nlohmann::json;

constexpr char kBase[] = "https://images.example";

std::vector<GeneratedImage> two_images(std::uint64_t seed = 7) {
  GenerationRequest request;
  request.seed = seed;
  return {test::fake_image(request, 0), test::fake_image(request, 1)};
}

json body_of(std::vector<GeneratedImage> images, const ResultContext& context, ImageStore& store) {
  return json::parse(image_response_body(make_result(std::move(images), 1700000000, context), store, kBase));
}

json body_of(std::vector<GeneratedImage> images, const ResultContext& context) {
  ImageStore store(1 << 20, std::chrono::seconds(60));
  return body_of(std::move(images), context, store);
}

TEST(ImageResult, ContainsImagesSeedsAndSize) {
  constexpr std::uint64_t kSeed = 9223372036854775807u;
  const auto images = two_images(kSeed);
  const auto body = body_of(images, {.options = {}, .seed = kSeed});
  EXPECT_EQ(body["created"], 1700000000);
  EXPECT_EQ(body["size"], "24x16");
  EXPECT_EQ(body["seed"], "9223372036854775807") << "not exact as a floating-point number";
  ASSERT_EQ(body["data"].size(), 2u);
  EXPECT_EQ(body["data"][0]["b64_json"], base64_encode(encode_png(images[0].image)));
  EXPECT_EQ(body["data"][1]["b64_json"], base64_encode(encode_png(images[1].image)));
  EXPECT_EQ(body["data"][0]["seed"], "9223372036854775807");
  EXPECT_EQ(body["data"][1]["seed"], "9223372036854775808");
  EXPECT_FALSE(body["data"][0].contains("url"));
}

// A model's refiner may be in the folder of another model.
TEST(ImageResult, ErrorsNameNoFolderOfAnyModel) {
  const ResultContext context{.options = {}, .model_folders = {"/srv/models/base", "/srv/models/refiner"}};
  const auto error = result_error(
      Error(ErrorCode::kCorruptData, "/srv/models/base/unet and /srv/models/refiner/unet differ"), context);
  EXPECT_EQ(error.message.find("/srv"), std::string::npos) << error.message;
  EXPECT_NE(error.detail.find("/srv/models/refiner/unet"), std::string::npos) << "for the log: " << error.detail;
}

TEST(ImageResult, ReportsPromptTruncation) {
  auto images = two_images();
  images[1].prompt_cut = true;
  const auto body = body_of(images, {});
  EXPECT_EQ(body["data"][0]["prompt_cut"], false);
  EXPECT_EQ(body["data"][1]["prompt_cut"], true);
}

TEST(ImageResult, NamesFormatQualityAndBackground) {
  const auto plain = body_of(two_images(), {});
  EXPECT_EQ(plain["output_format"], "png");
  EXPECT_EQ(plain["quality"], "high");
  EXPECT_EQ(plain["background"], "opaque");
  EXPECT_FALSE(plain.contains("ignored") || plain.contains("images_used"));
  ResultContext context;
  context.options.output.format = ImageFormat::kJpeg;
  context.options.quality = "low";
  context.options.ignored = {"eta", "foo"};
  context.options.images_used = 1;
  const auto body = body_of(two_images(), context);
  EXPECT_EQ(body["output_format"], "jpeg");
  EXPECT_EQ(body["quality"], "low");
  EXPECT_EQ(body["ignored"], json({"eta", "foo"}));
  EXPECT_EQ(body["images_used"], 1);
}

TEST(ImageResult, CountsTokens) {
  EXPECT_EQ(image_tokens(512, 512, 8), 1024);
  EXPECT_EQ(image_tokens(1024, 1024, 8), 4096);
  EXPECT_EQ(image_tokens(24, 16, 8), 1) << "six cells";
  EXPECT_EQ(image_tokens(25, 16, 8), 2) << "a cell that is cut counts";
  auto images = two_images();
  for (auto& image : images) image.prompt_tokens = 5;
  const auto usage = body_of(images, {.cell = 4, .input_image_tokens = 10})["usage"];
  EXPECT_EQ(usage, json::parse(R"({"total_tokens": 27, "input_tokens": 15, "output_tokens": 12,
                                   "input_tokens_details": {"text_tokens": 5, "image_tokens": 10},
                                   "output_tokens_details": {"image_tokens": 12, "text_tokens": 0}})"));
}

TEST(ImageResult, LinksLeadToTheImages) {
  ImageStore store(1 << 20, std::chrono::seconds(60));
  for (const bool base64 : {false, true}) {
    ResultContext context;
    context.options = {.base64 = base64, .link = true, .output = {.format = ImageFormat::kWebp}};
    const auto images = two_images();
    const auto body = body_of(images, context, store);
    for (std::size_t i = 0; i < images.size(); ++i) {
      const auto& item = body["data"][i];
      EXPECT_EQ(item.contains("b64_json"), base64);
      const auto url = item["url"].get<std::string>();
      const auto begin = concat(kBase, "/v1/images/files/");
      ASSERT_TRUE(url.starts_with(begin) && url.ends_with(".webp")) << url;
      const auto file = store.find(url.substr(begin.size(), 32));
      ASSERT_TRUE(file);
      EXPECT_EQ(file->format, ImageFormat::kWebp);
      EXPECT_EQ(decode_image(file->bytes).image.width, images[i].image.width);
      if (base64) {
        EXPECT_EQ(item["b64_json"], base64_encode(file->bytes));
      }
    }
  }
}

TEST(ImageResult, ImagesThatDoNotFitIntoTheStoreAreSentAsBase64) {
  ImageStore store(10, std::chrono::seconds(60));
  for (const bool base64 : {false, true}) {
    ResultContext context;
    context.options = {.base64 = base64, .link = true};
    const auto images = two_images();
    const auto item = body_of(images, context, store)["data"][0];
    EXPECT_FALSE(item.contains("url"));
    EXPECT_EQ(item["b64_json"], base64_encode(encode_png(images[0].image)));
  }
}

TEST(ImageResult, FilesHaveTheMetadataOfTheirOwnImages) {
  const auto images = two_images();
  ResultContext context;
  context.metadata = [](const GeneratedImage& image) {
    EXPECT_FALSE(image.image.pixels.empty());
    return ImageMetadata{.parameters = std::to_string(image.seed)};
  };
  const auto result = make_result(images, 0, context);
  for (std::size_t i = 0; i < images.size(); ++i)
    EXPECT_EQ(read_metadata(result.items[i].file).parameters, std::to_string(images[i].seed));
}

TEST(ImageResult, LowerCompressionMakesSmallerFiles) {
  GenerationRequest request;
  request.width = request.height = 128;
  auto image = test::fake_image(request, 0);
  for (std::size_t i = 0; i < image.image.pixels.size(); ++i) image.image.pixels[i] = static_cast<std::uint8_t>(i * i);
  for (const auto format : {ImageFormat::kJpeg, ImageFormat::kWebp}) {
    const auto size = [&](int compression) {
      ResultContext context;
      context.options.output = {.format = format, .compression = compression};
      return make_result({image}, 0, context).items[0].file.size();
    };
    EXPECT_LT(size(10), size(50));
    EXPECT_LT(size(50), size(100));
  }
}

}  // namespace
}  // namespace easel::http
