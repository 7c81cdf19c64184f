// What image files say about how they were made.
#include "provenance/image_record.h"

#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "easel/error.h"
#include "provenance/hashes.h"
#include "provenance/request_json.h"
#include "support/image_files.h"
#include "support/temporary_folder.h"

namespace easel {
namespace {

using nlohmann::json;
using testing::gradient;

const MetadataOptions kOptions{
    .embed = true, .mark = true, .version = "1.2.3", .libtorch = "2.13.0", .device = "cpu", .dtype = "float32"};

ModelDescription sd15() {
  ModelDescription model;
  model.id = "sd15";
  model.family = "stable-diffusion";
  model.default_scheduler = "pndm";
  model.max_clip_skip = 12;
  return model;
}

GenerationRequest full_request() {
  GenerationRequest request;
  request.prompt = "a fox, \"red\"";
  request.negative_prompt = "blurry";
  request.seed = ~std::uint64_t{0};
  request.width = 64;
  request.height = 32;
  request.num_inference_steps = 7;
  request.scheduler = "euler";
  request.guidance_scale = 4.5;
  request.guidance_interval = {.start = 0.2, .end = 0.75};
  request.guidance_rescale = 0.25;
  request.eta = 0.5;
  request.clip_skip = 1;
  request.denoising_end = 0.75;
  request.strength = 0.3;
  request.image_guidance_scale = 1.5;
  request.true_cfg_scale = 2.5;
  request.noise_level = 20;
  request.timesteps = {999, 500};
  request.sigmas = {14.5, 0.1};
  request.prompt_syntax = PromptSyntax::kA1111;
  request.loras = {{.name = "ink", .weight = 0.8}, {.name = "b", .weight = 1, .text_encoder_weight = 0.5}};
  request.micro_conditioning.original_size = {512, 768};
  request.micro_conditioning.crops_coords_top_left = {1, 2};
  request.micro_conditioning.negative_target_size = {3, 4};
  request.micro_conditioning.aesthetic_score = 7;
  return request;
}

GeneratedImage generated(std::uint64_t seed) {
  return {.image = gradient(64, 32), .seed = seed};
}

TEST(RequestJson, EveryFieldIsReadBack) {
  const auto request = full_request();
  const auto written = request_to_json(request);
  EXPECT_EQ(written["seed"], "18446744073709551615");
  EXPECT_EQ(written.size(), 27u);  // all but target_size and negative_original_size
  GenerationRequest read;
  request_from_json(json::parse(written.dump()), read);
  EXPECT_EQ(request_to_json(read), written);
  EXPECT_EQ(read.seed, request.seed);
  EXPECT_EQ(read.loras.at(1).text_encoder_weight, 0.5);
  EXPECT_EQ(written["guidance_interval"], (json{0.2, 0.75}));
  EXPECT_EQ(read.guidance_interval, request.guidance_interval);
  EXPECT_EQ(read.true_cfg_scale, 2.5);
  EXPECT_EQ(read.micro_conditioning.original_size, request.micro_conditioning.original_size);
  EXPECT_EQ(read.prompt_syntax, PromptSyntax::kA1111);
}

TEST(RequestJson, AFieldOfAnotherTypeIsNamed) {
  for (const auto& [text, name] : {std::pair{R"({"prompt":1})", "prompt"},
                                   {R"({"width":"x"})", "width"},
                                   {R"({"loras":[{}]})", "loras"},
                                   {R"({"seed":"1x"})", "seed"},
                                   {R"({"guidance_interval":[1]})", "guidance_interval"},
                                   {R"({"original_size":[1]})", "original_size"},
                                   {R"({"timesteps":["a"]})", "timesteps"}}) {
    GenerationRequest request;
    try {
      request_from_json(json::parse(text), request);
      ADD_FAILURE() << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.param(), name);
    }
  }
}

TEST(ImageRecord, ParametersAreThoseOfA1111) {
  auto request = full_request();
  request.timesteps = request.sigmas = {};
  request.image = std::make_shared<Image>(gradient(64, 32));
  const auto metadata = metadata_of_request(request, sd15(), kOptions)(generated(5));
  EXPECT_EQ(metadata.parameters,
            "a fox, \"red\" <lora:ink:0.8> <lora:b:1>\nNegative prompt: blurry\n"
            "Steps: 7, Sampler: euler, CFG scale: 4.5, Seed: 5, Size: 64x32, Model: sd15, Denoising strength: 0.3, "
            "Clip skip: 2, Version: easel 1.2.3");
}

// Jobs keep the function for an hour.
TEST(ImageRecord, DoesNotKeepTheImagesOfTheRequest) {
  auto request = full_request();
  request.image = std::make_shared<Image>(gradient(64, 32));
  request.mask = std::make_shared<Image>(gradient(64, 32));
  request.more_images = {std::make_shared<Image>(gradient(64, 32))};
  const std::weak_ptr<const Image> kept[] = {request.image, request.mask, request.more_images[0]};
  const auto metadata = metadata_of_request(request, sd15(), kOptions);
  request = {};
  for (const auto& image : kept) EXPECT_TRUE(image.expired());
}

TEST(ImageRecord, ModelsWithASeparateScaleHaveForgesWords) {
  auto model = sd15();
  model.separate_guidance = true;
  const auto text = metadata_of_request(full_request(), model, kOptions)(generated(5)).parameters;
  EXPECT_NE(text.find("CFG scale: 2.5, Distilled CFG Scale: 4.5, Seed: 5"), std::string::npos) << text;
}

TEST(ImageRecord, SaysWhatTheModelUsedByDefault) {
  GenerationRequest request;
  request.prompt = "a fox";
  const auto record = json::parse(metadata_of_request(request, sd15(), kOptions)(generated(9)).record);
  EXPECT_EQ(record["software"], "easel 1.2.3");
  EXPECT_EQ(record["libtorch"], "2.13.0");
  EXPECT_EQ(record["device"], "cpu");
  EXPECT_EQ(record["dtype"], "float32");
  EXPECT_EQ(record["model"], "sd15");
  EXPECT_FALSE(record.contains("image_hash"));
  EXPECT_EQ(record["request"]["seed"], 9);
  EXPECT_EQ(record["request"]["num_inference_steps"], 50);
  EXPECT_EQ(record["request"]["scheduler"], "pndm");
  EXPECT_EQ(record["request"]["guidance_scale"], 7.5);
  EXPECT_EQ(record["request"]["width"], 64);

  auto distilled = sd15();
  distilled.unused_fields = {"guidance_scale"};
  const auto without = json::parse(metadata_of_request(request, distilled, kOptions)(generated(9)).record);
  EXPECT_FALSE(without["request"].contains("guidance_scale"));
}

TEST(ImageRecord, TellsTheSizeOfADrawnPartFromThatOfTheImage) {
  GenerationRequest request;
  request.image = request.mask = std::make_shared<Image>(gradient(64, 32));
  request.padding_mask_crop = 12;
  const auto metadata = metadata_of_request(request, sd15(), kOptions)(generated(9));
  const auto record = json::parse(metadata.record);
  EXPECT_EQ(record["request"]["width"], 512) << "at which the part was drawn";
  EXPECT_EQ(record["request"]["padding_mask_crop"], 12);
  EXPECT_FALSE(record["request"].contains("keep_unmasked"));
  EXPECT_NE(metadata.parameters.find("Size: 64x32"), std::string::npos);
  EXPECT_NE(metadata.parameters.find("Inpaint area: Only masked, Masked area padding: 12"), std::string::npos);
  EXPECT_EQ(read_image_record(metadata.record).request.padding_mask_crop, 12);

  request.padding_mask_crop.reset();
  request.keep_unmasked = true;
  const auto kept = metadata_of_request(request, sd15(), kOptions)(generated(9));
  EXPECT_EQ(json::parse(kept.record)["request"]["keep_unmasked"], true);
  EXPECT_TRUE(read_image_record(kept.record).request.keep_unmasked);
}

TEST(ImageRecord, MarkAndRecordAreIndependent) {
  GenerationRequest request;
  auto options = kOptions;
  options.embed = false;
  auto metadata = metadata_of_request(request, sd15(), options)(generated(1));
  EXPECT_EQ(metadata.parameters + metadata.record, "");
  EXPECT_EQ(metadata.source, DigitalSource::kTrainedAlgorithmicMedia);
  request.image = std::make_shared<Image>(gradient(4, 4));
  metadata = metadata_of_request(request, sd15(), options)(generated(1));
  EXPECT_EQ(metadata.source, DigitalSource::kCompositeWithTrainedAlgorithmicMedia);
  options.embed = true;
  options.mark = false;
  metadata = metadata_of_request(request, sd15(), options)(generated(1));
  EXPECT_FALSE(metadata.source);
  EXPECT_NE(metadata.record, "");
}

TEST(ImageRecord, IsReadBackAndComparedWithThePresent) {
  auto request = full_request();
  request.image = std::make_shared<Image>(gradient(64, 32));
  const auto model = sd15();
  const auto metadata = metadata_of_request(request, model, kOptions)(generated(12));
  const auto record = read_image_record(metadata.record);
  EXPECT_EQ(record.request.seed, 12u);
  EXPECT_EQ(record.request.prompt, request.prompt);
  EXPECT_EQ(record.model, "sd15");

  auto again = record.request;
  again.image = request.image;
  EXPECT_TRUE(differences(record, again, model, kOptions).empty());

  auto options = kOptions;
  options.dtype = "float16";
  again.image = std::make_shared<Image>(gradient(64, 31));
  again.num_inference_steps = 8;
  const auto found = differences(record, again, model, options);
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0], "the dtype was \"float32\" and is now \"float16\"");
  EXPECT_TRUE(found[1].starts_with("the hash of the input image was "));
  EXPECT_EQ(found[2], "num_inference_steps was \"7\" and is now \"8\"");
}

TEST(ImageRecord, OtherTextsAreNoRecords) {
  for (const auto* text : {"", "[]", "{", R"({"software":"other 1","request":{}})", R"({"software":"easel 1"})",
                           R"({"software":"easel 1","request":[]})"}) {
    EXPECT_THROW(read_image_record(text), Error) << text;
  }
  EXPECT_THROW(read_image_record(R"({"software":"easel 1","request":{"seed":[]}})"), Error);
}

TEST(ModelHash, DependsOnNamesSizesAndContents) {
  const TemporaryFolder folder;
  const auto write = [&](const std::string& name, const std::string& bytes) { return folder.write(name, bytes); };
  std::string weights(300'000, 'w');
  const auto path = write("a/unet/model.safetensors", weights);
  write("a/README.md", "not a weight");
  const auto root = folder.path("a");
  const auto first = model_hash(root);
  EXPECT_EQ(first.size(), 64u);
  EXPECT_EQ(model_hash(path), model_hash(write("other name.safetensors", weights)));
  write("a/README.md", "changed");
  EXPECT_EQ(model_hash(root), first);
  weights.back() = 'x';
  write("a/unet/model.safetensors", weights);
  const auto second = model_hash(root);
  EXPECT_NE(second, first);
  write("a/unet/model.q8_0.gguf", weights);
  EXPECT_NE(model_hash(root), second);
  EXPECT_EQ(model_hash(write("empty.safetensors", "")).size(), 64u);
  EXPECT_EQ(model_hash(root + "/missing"), "");
}

}  // namespace
}  // namespace easel
