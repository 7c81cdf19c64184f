// Uploaded files become a request's image and mask, and determine the size of the result.
#include "http/openai/requests/input_images.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <thread>
#include <vector>

#include "http/openai/requests/decoding_places.h"
#include "http/support/scripted_engine.h"
#include "http/wire/http_error.h"
#include "image/pillow_blur.h"
#include "support/image_files.h"

namespace easel::http {
namespace {

using easel::testing::flat;
using easel::testing::gradient;
using easel::testing::jpeg_file;
using easel::testing::png_file;
using easel::testing::webp_file;

ModelDescription upscaler() {
  auto model = test::tiny_model("larger");
  model.upscale_factor = 4;
  return model;
}

ImageUpload upload_of(std::optional<std::string> image, std::optional<std::string> mask = {}) {
  ImageUpload upload{.fields = nlohmann::json::object(), .images = {}, .mask = std::move(mask)};
  if (image) upload.images.push_back(std::move(*image));
  return upload;
}

/// Larger than the images of most tests, which are therefore used at their own size.
ModelDescription ordinary_model() {
  auto model = test::tiny_model("tiny");
  model.native_width = model.native_height = 512;
  return model;
}

ImageRequest with_upload(const ImageUpload& upload, ImageTask task = ImageTask::kEdit,
                         const ModelDescription& model = ordinary_model(), const ServerOptions& limits = {},
                         std::optional<int> width = {}, std::optional<int> height = {}) {
  ImageRequest request;
  request.width = width;
  request.height = height;
  attach_input_images(upload, task, model, limits, request);
  return request;
}

template <class... Arguments>
HttpError upload_refusal(const Arguments&... arguments) {
  try {
    with_upload(arguments...);
  } catch (const HttpFailure& failure) {
    return failure.error();
  }
  return {.status = 0};
}

// One row of the mask: 1 for bright pixels.
std::string marks(const std::shared_ptr<const Image>& mask) {
  if (!mask) return "none";
  std::string text;
  for (int x = 0; x < mask->width; ++x) text += mask->pixels[static_cast<std::size_t>(3 * x)] >= 128 ? '1' : '0';
  return text;
}

TEST(InputImages, EverySupportedFormatIsDecoded) {
  const auto image = gradient(40, 24);
  for (const auto& file : {png_file(image), jpeg_file(image), webp_file(image)}) {
    const auto request = with_upload(upload_of(file));
    ASSERT_TRUE(request.image);
    EXPECT_EQ(request.image->pixels, decode_image(file).image.pixels);
    EXPECT_EQ(request.width, 40);
    EXPECT_EQ(request.height, 24);
    EXPECT_FALSE(request.mask);
  }
}

TEST(InputImages, MaskIsTransparencyOrWhite) {
  const auto image = png_file(gradient(16, 1 * 16));
  const auto colours = flat(16, 16, 255, 255, 255);
  std::vector<std::uint8_t> alpha(256, 255);
  for (std::size_t i = 0; i < alpha.size(); ++i) alpha[i] = i % 16 < 4 ? 0 : i % 16 < 6 ? 127 : i % 16 < 8 ? 128 : 255;
  EXPECT_EQ(marks(with_upload(upload_of(image, png_file(colours, alpha))).mask), "1111110000000000");
  EXPECT_EQ(marks(with_upload(upload_of(image, webp_file(colours, alpha))).mask), "1111110000000000");

  auto half = flat(16, 16, 0, 0, 0);
  for (int y = 0; y < 16; ++y) std::fill_n(half.pixels.begin() + y * 48, 24, std::uint8_t{255});
  EXPECT_EQ(marks(with_upload(upload_of(image, png_file(half))).mask), "1111111100000000");
  EXPECT_EQ(marks(with_upload(upload_of(image, png_file(half, std::vector<std::uint8_t>(256, 255)))).mask),
            "1111111100000000")
      << "an alpha channel that is opaque everywhere marks nothing";
  EXPECT_EQ(marks(with_upload(upload_of(image, jpeg_file(half))).mask), "1111111100000000");
}

TEST(InputImages, MaskIsBlurredAsPillowBlursIt) {
  auto mask = flat(16, 16, 0, 0, 0);
  std::fill_n(mask.pixels.begin(), 16 * 8 * 3, std::uint8_t{255});
  ImageRequest request;
  request.mask_blur = 4;
  attach_input_images(upload_of(png_file(gradient(16, 16)), png_file(mask)), ImageTask::kEdit, ordinary_model(), {},
                      request);
  ASSERT_TRUE(request.mask);
  EXPECT_EQ(request.mask->pixels, pillow_gaussian_blur(mask, 4).pixels);
  EXPECT_NE(request.mask->pixels, mask.pixels);
}

TEST(InputImages, CroppingToTheMaskKeepsTheImagesSize) {
  const auto model = test::tiny_model("tiny");  // 24 x 16 pixels
  const auto photograph = jpeg_file(gradient(200, 100)), mask = png_file(flat(200, 100, 255, 255, 255));
  ImageRequest request;
  request.padding_mask_crop = 8;
  attach_input_images(upload_of(photograph, mask), ImageTask::kEdit, model, {}, request);
  EXPECT_EQ(request.image->width, 200) << "not decoded at a fraction, because it is also the result";
  EXPECT_FALSE(request.width) << "the part is drawn at the model's own size";
  EXPECT_FALSE(request.response.resized_from);

  request = {};
  request.padding_mask_crop = 8;
  request.width = request.height = 64;
  attach_input_images(upload_of(photograph, mask), ImageTask::kEdit, model, {}, request);
  EXPECT_EQ(request.image->width, 200);
  EXPECT_EQ(request.width, 64);
}

std::string crop_refusal(const ImageUpload& upload, ImageTask task, const ServerOptions& limits) {
  ImageRequest request;
  request.padding_mask_crop = 8;
  try {
    attach_input_images(upload, task, ordinary_model(), limits, request);
  } catch (const HttpFailure& failure) {
    return failure.error().param;
  }
  return "none";
}

TEST(InputImages, CroppingNeedsAMaskAndAnImageWithinTheLimitsOfResults) {
  const auto image = png_file(gradient(200, 100)), mask = png_file(flat(200, 100, 255, 255, 255));
  EXPECT_EQ(crop_refusal(upload_of(image), ImageTask::kEdit, {}), "padding_mask_crop");
  EXPECT_EQ(crop_refusal(upload_of(image), ImageTask::kVary, {}), "padding_mask_crop");
  EXPECT_EQ(crop_refusal(upload_of(image, mask), ImageTask::kEdit, {.max_edge = 199}), "image");
  EXPECT_EQ(crop_refusal(upload_of(image, mask), ImageTask::kEdit, {.max_edge = 200}), "none");
}

TEST(InputImages, PixelsAreKeptOnlyWithAMask) {
  const auto image = png_file(gradient(16, 16)), mask = png_file(flat(16, 16, 255, 255, 255));
  for (const bool keep : {false, true}) {
    ImageRequest request;
    request.keep_unmasked = keep;
    attach_input_images(upload_of(image, mask), ImageTask::kEdit, ordinary_model(), {}, request);
    EXPECT_EQ(request.keep_unmasked, keep);
    attach_input_images(upload_of(image), ImageTask::kEdit, ordinary_model(), {}, request);
    EXPECT_FALSE(request.keep_unmasked);
  }
}

TEST(InputImages, TransparentPartsOfTheImageAreTheMask) {
  std::vector<std::uint8_t> alpha(256, 255);
  EXPECT_EQ(marks(with_upload(upload_of(png_file(gradient(16, 16), alpha))).mask), "none");
  for (std::size_t i = 0; i < alpha.size(); i += 16) alpha[i] = 0;
  const auto cut = png_file(gradient(16, 16), alpha);
  EXPECT_EQ(marks(with_upload(upload_of(cut)).mask), "1000000000000000");
  EXPECT_EQ(marks(with_upload(upload_of(cut), ImageTask::kVary).mask), "none");
  EXPECT_EQ(marks(with_upload(upload_of(cut), ImageTask::kUpscale, upscaler()).mask), "none");
  EXPECT_EQ(marks(with_upload(upload_of(cut, png_file(flat(16, 16, 0, 0, 0)))).mask), "0000000000000000")
      << "a mask that was sent is preferred";
}

TEST(InputImages, ErrorsNameTheField) {
  const auto good = png_file(gradient(16, 16));
  EXPECT_EQ(upload_refusal(upload_of({})).code, "missing_required_parameter");
  EXPECT_EQ(upload_refusal(upload_of({})).param, "image");
  for (const std::string& bad : {std::string(), std::string("text"), good.substr(0, 60), std::string("GIF89a")}) {
    EXPECT_EQ(upload_refusal(upload_of(bad)).param, "image");
    EXPECT_EQ(upload_refusal(upload_of(bad)).code, "invalid_image_file");
    EXPECT_EQ(upload_refusal(upload_of(good, bad)).param, "mask");
    EXPECT_EQ(upload_refusal(upload_of(good, bad)).code, "invalid_image_file");
  }
  const auto sizes = upload_refusal(upload_of(good, png_file(gradient(16, 17))));
  EXPECT_EQ(sizes.param, "mask");
  EXPECT_EQ(sizes.code, "invalid_mask_image_format");
  EXPECT_NE(sizes.message.find("16x17"), std::string::npos);
  for (const auto task : {ImageTask::kVary, ImageTask::kUpscale}) {
    EXPECT_EQ(upload_refusal(upload_of(good, good), task, upscaler()).param, "mask");
  }
  auto inpainting = test::tiny_model("inpainting");
  inpainting.needs_image = inpainting.needs_mask = true;
  EXPECT_EQ(upload_refusal(upload_of(good), ImageTask::kEdit, inpainting).param, "mask");
  EXPECT_EQ(upload_refusal(upload_of(good, good), ImageTask::kEdit, inpainting).status, 0);
}

std::string resized_from(const ImageRequest& request) {
  const auto& size = request.response.resized_from;
  return size ? std::to_string(size->first) + "x" + std::to_string(size->second) : "none";
}

// The model's own size is 24 x 16, and its cells have 8 pixels.
TEST(InputImages, PhotographsAreScaledToTheModelsArea) {
  const auto model = test::tiny_model("tiny");
  ASSERT_EQ(model.native_width * model.native_height, 384);
  for (const auto task : {ImageTask::kEdit, ImageTask::kVary}) {
    const auto twice = with_upload(upload_of(png_file(gradient(32, 24))), task, model);
    EXPECT_EQ(twice.width, 32) << "not more than twice the area";
    EXPECT_EQ(resized_from(twice), "none");
    const auto photograph = with_upload(upload_of(png_file(gradient(200, 100))), task, model);
    EXPECT_EQ(photograph.width, 24) << "27.7 pixels are nearest to three cells";
    EXPECT_EQ(photograph.height, 16) << "13.9 pixels are nearest to two cells";
    EXPECT_EQ(resized_from(photograph), "200x100");
    EXPECT_EQ(photograph.image->width, 200) << "the pipeline resamples it";
    const auto asked = with_upload(upload_of(png_file(gradient(200, 100))), task, model, {}, 64, 32);
    EXPECT_EQ(asked.width, 64);
    EXPECT_EQ(resized_from(asked), "none");
  }
  const auto larger = with_upload(upload_of(png_file(gradient(200, 100))), ImageTask::kUpscale, upscaler());
  EXPECT_EQ(larger.width, 800) << "an upscaler enlarges the whole image";
  EXPECT_EQ(resized_from(larger), "none");
}

// As Pillow's Image.draft chooses: 200 // 24 = 8 and 100 // 16 = 6 allow a quarter.
TEST(InputImages, LargeJpegFilesAreDecodedAtAFraction) {
  const auto model = test::tiny_model("tiny");
  const auto file = jpeg_file(gradient(200, 100));
  const auto photograph =
      with_upload(upload_of(file, png_file(flat(200, 100, 255, 255, 255))), ImageTask::kEdit, model);
  EXPECT_EQ(photograph.image->width, 50);
  EXPECT_EQ(photograph.image->height, 25);
  EXPECT_EQ(photograph.mask->width, 200);
  EXPECT_EQ(resized_from(photograph), "200x100");
  const auto asked = with_upload(upload_of(file), ImageTask::kEdit, model, {}, 64, 48);
  EXPECT_EQ(asked.image->width, 100);
  EXPECT_EQ(with_upload(upload_of(file), ImageTask::kEdit, model, {}, 150, 80).image->width, 200);
  EXPECT_EQ(with_upload(upload_of(file), ImageTask::kUpscale, upscaler()).image->width, 200);
}

TEST(InputImages, TwoAreDecodedAtATimeAndOthersWait) {
  DecodingPlaces places;
  std::atomic<int> inside = 0, most = 0, finished = 0;
  std::atomic<bool> release = false;
  const auto decode = [&] {
    const int now = ++inside;
    for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
    }
    release.wait(false);
    --inside;
    ++finished;
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 5; ++i) threads.emplace_back([&] { places.use(decode); });
  constexpr std::chrono::milliseconds kPause{20};
  for (int waited = 0; inside < 2 && waited < 500; ++waited) std::this_thread::sleep_for(kPause);
  std::this_thread::sleep_for(kPause);
  EXPECT_EQ(inside, 2);
  release = true;
  release.notify_all();
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(finished, 5);
  EXPECT_LE(most, 2);
  EXPECT_THROW(places.use([] { throw std::runtime_error("damaged"); }), std::runtime_error);
  EXPECT_EQ(places.use([] { return 7; }), 7) << "a failure gives its place back";
  EXPECT_THROW(places.use([] { throw std::runtime_error("damaged"); }), std::runtime_error);
  EXPECT_EQ(places.use([] { return 8; }), 8);
}

TEST(InputImages, UploadAndOutputLimitsAreSeparate) {
  const auto model = ordinary_model();
  const auto file = png_file(gradient(100, 50));
  const ServerOptions small{.max_edge = 64, .max_pixels = 64 * 64};
  const auto error = upload_refusal(upload_of(file), ImageTask::kEdit, model, small);
  EXPECT_EQ(error.param, "image");
  EXPECT_NE(error.message.find("100x50"), std::string::npos);
  EXPECT_NE(error.message.find("64"), std::string::npos);
  const auto resized = with_upload(upload_of(file), ImageTask::kEdit, model, small, 64, 32);
  EXPECT_EQ(resized.width, 64);
  EXPECT_EQ(resized.image->width, 100) << "the pipeline resamples it";
  EXPECT_EQ(upload_refusal(upload_of(png_file(gradient(8, 8)))).param, "image")
      << "smaller than any image that is generated";
  EXPECT_EQ(upload_refusal(upload_of(file), ImageTask::kEdit, model, ServerOptions{.max_image_pixels = 4999}).code,
            "invalid_image_file");
  EXPECT_EQ(
      upload_refusal(upload_of(file), ImageTask::kEdit, model, ServerOptions{.max_image_bytes = file.size() - 1}).code,
      "invalid_image_file");
}

TEST(InputImages, ReferencesKeepTheirSizesAndTheModelChoosesThatOfTheResult) {
  auto model = ordinary_model();
  model.keeps_input_sizes = true;
  model.max_input_images = 2;
  auto upload = upload_of(png_file(gradient(2000, 1000)));
  upload.images.push_back(png_file(gradient(100, 60)));
  const auto own = with_upload(upload, ImageTask::kEdit, model);
  EXPECT_EQ(own.image->width, 2000);
  EXPECT_EQ(own.more_images.at(0)->height, 60);
  EXPECT_FALSE(own.width) << "about 724 x 362, which the model decides";
  EXPECT_FALSE(own.response.resized_from);
  EXPECT_EQ(with_upload(upload, ImageTask::kEdit, model, {}, 64, 64).width, 64);
  EXPECT_EQ(upload_refusal(upload, ImageTask::kEdit, model, ServerOptions{.max_pixels = 512 * 500}).param, "image");
}

TEST(InputImages, StrengthWithoutAMaskHasNoUseForReferences) {
  auto model = ordinary_model();
  model.keeps_input_sizes = true;
  const auto strength_of = [&](const ImageUpload& upload) {
    ImageRequest request;
    request.strength = 0.5;
    attach_input_images(upload, ImageTask::kEdit, model, {}, request);
    return std::pair(request.strength, request.response.ignored);
  };
  const auto image = png_file(gradient(64, 64)), mask = png_file(flat(64, 64, 255, 255, 255));
  EXPECT_EQ(strength_of(upload_of(image, mask)).first, 0.5);
  const auto [strength, ignored] = strength_of(upload_of(image));
  EXPECT_FALSE(strength);
  EXPECT_EQ(ignored, std::vector<std::string>{"strength"});
  auto strict = upload_of(image);
  strict.fields["strict"] = true;
  EXPECT_THROW(strength_of(strict), HttpFailure);
}

TEST(InputImages, ModelsGetAsManyImagesAsTheyTake) {
  auto upload = upload_of(png_file(gradient(40, 24)), png_file(flat(40, 24, 255, 255, 255)));
  upload.images.push_back(jpeg_file(gradient(32, 16)));
  upload.images.push_back(webp_file(gradient(16, 48)));
  auto model = ordinary_model();
  const auto first = with_upload(upload, ImageTask::kEdit, model);
  EXPECT_EQ(first.image->width, 40);
  EXPECT_TRUE(first.more_images.empty());
  EXPECT_EQ(first.response.images_used, 1);
  EXPECT_EQ(first.width, 40) << "the size of the first image";
  EXPECT_TRUE(first.mask) << "which the mask belongs to";
  model.max_input_images = 2;
  EXPECT_EQ(with_upload(upload, ImageTask::kEdit, model).more_images.size(), 1u);
  model.second_image_needs_mask = true;
  EXPECT_EQ(with_upload(upload, ImageTask::kEdit, model).more_images.size(), 1u);
  auto without_mask = upload;
  without_mask.mask.reset();
  EXPECT_TRUE(with_upload(without_mask, ImageTask::kEdit, model).more_images.empty());
  EXPECT_EQ(with_upload(without_mask, ImageTask::kEdit, model).response.images_used, 1);
  model.second_image_needs_mask = false;
  model.max_input_images = 4;
  const auto all = with_upload(upload, ImageTask::kEdit, model);
  ASSERT_EQ(all.more_images.size(), 2u);
  EXPECT_EQ(all.more_images[0]->width, 32);
  EXPECT_EQ(all.more_images[1]->height, 48);
  EXPECT_EQ(all.response.images_used, 3);
  EXPECT_FALSE(with_upload(upload_of(png_file(gradient(40, 24))), ImageTask::kEdit, model).response.images_used);
  upload.images[2] = "not an image";
  EXPECT_EQ(upload_refusal(upload, ImageTask::kEdit, model).param, "image");
  upload.mask.reset();
  for (const auto task : {ImageTask::kVary, ImageTask::kUpscale}) {
    EXPECT_EQ(upload_refusal(upload, task, upscaler()).code, "duplicate_parameter");
  }
}

TEST(InputImages, UpscalersScaleByTheirFactor) {
  const auto file = png_file(gradient(40, 20));
  const auto own = with_upload(upload_of(file), ImageTask::kUpscale, upscaler());
  EXPECT_EQ(own.width, 160);
  EXPECT_EQ(own.height, 80);
  EXPECT_EQ(own.image->width, 40);
  const auto asked = with_upload(upload_of(file), ImageTask::kUpscale, upscaler(), ServerOptions{}, 80, 80);
  EXPECT_EQ(asked.width, 80);
  EXPECT_EQ(asked.image->width, 20);
  EXPECT_EQ(asked.image->height, 20);
  EXPECT_EQ(upload_refusal(upload_of(file), ImageTask::kUpscale, upscaler(), ServerOptions{}, 81, 80).param, "size");
  const auto large = upload_refusal(upload_of(png_file(gradient(600, 20))), ImageTask::kUpscale, upscaler());
  EXPECT_EQ(large.param, "image");
  EXPECT_NE(large.message.find("2400x80"), std::string::npos);
}

}  // namespace
}  // namespace easel::http
