#include "checkpoints/checkpoint.h"

#include <ATen/ops/ones.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "support/message_of.h"
#include "support/temporary_folder.h"
#include "weights/convert/safetensors_writer.h"

namespace easel {
namespace {

constexpr const char* kIndex = R"({"_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.6.0",
  "unet": ["diffusers", "UNet2DConditionModel"], "safety_checker": [null, null], "requires_safety_checker": true})";

TEST(Checkpoint, ReadsComponentsAndSkipsNulls) {
  TemporaryFolder temp;
  temp.write("model_index.json", kIndex);
  const auto folder = Checkpoint::open(temp.path());
  EXPECT_EQ(folder.class_name, "StableDiffusionPipeline");
  EXPECT_EQ(folder.components.size(), 1u);
  EXPECT_NO_THROW(folder.require(Component::kUnet, "UNet2DConditionModel"));
  EXPECT_NE(message_of([&] { folder.require(Component::kVae, "AutoencoderKL"); }).find("`vae` is missing or null"),
            std::string::npos);
  EXPECT_NE(
      message_of([&] { folder.require(Component::kUnet, "X"); }).find("is a UNet2DConditionModel; easel supports X"),
      std::string::npos);
}

TEST(Checkpoint, ReportsMissingOrInvalidIndex) {
  TemporaryFolder temp;
  EXPECT_NE(message_of([] { Checkpoint::open("/nowhere/at/all"); }).find("does not exist"), std::string::npos);
  EXPECT_NE(message_of([&] { Checkpoint::open(temp.path()); }).find("no model_index.json"), std::string::npos);
  temp.write("model_index.json", "{");
  EXPECT_NE(message_of([&] { Checkpoint::open(temp.path()); }).find("is not valid JSON"), std::string::npos);
  temp.write("model_index.json", "{}");
  EXPECT_NE(message_of([&] { Checkpoint::open(temp.path()); }).find("`_class_name` is missing"), std::string::npos);
}

TEST(Checkpoint, ManifestRejectsUnknownFields) {
  TemporaryFolder temp;
  temp.write("model_index.json", kIndex);
  temp.write("easel.json", R"({"licence": "MIT", "native_size": "128x64", "native_size_only": true,
                              "defaults": {"num_inference_steps": 15, "guidance_scale": 3, "scheduler": "ddim"}})");
  const auto manifest = Checkpoint::open(temp.path()).manifest;
  EXPECT_EQ(manifest.native_size, (std::pair{128, 64}));
  EXPECT_TRUE(manifest.native_size_only);
  EXPECT_EQ(manifest.num_inference_steps, 15);
  EXPECT_EQ(manifest.guidance_scale, 3.0);
  EXPECT_EQ(manifest.scheduler, "ddim");
  EXPECT_EQ(manifest.refiner, "");
  temp.write("easel.json", R"({"refiner": "../r", "defaults": {"denoising_end": 0.7}})");
  const auto with_refiner = Checkpoint::open(temp.path()).manifest;
  EXPECT_EQ(with_refiner.refiner, "../r");
  EXPECT_EQ(with_refiner.denoising_end, 0.7);
  temp.write("easel.json", R"({"native_size": "128"})");
  EXPECT_NE(message_of([&] { Checkpoint::open(temp.path()); }).find("expected WIDTHxHEIGHT"), std::string::npos);
  temp.write("easel.json", R"({"nativ_size": "128x128"})");
  EXPECT_NE(message_of([&] { Checkpoint::open(temp.path()); }).find("`nativ_size`"), std::string::npos);
}

/// A folder whose UNet and autoencoder have weights under these names.
void write_weights(const TemporaryFolder& folder, const std::string& variant, const std::string& component) {
  folder.write(component + "/x", "");
  write_safetensors(folder.path(component + "/diffusion_pytorch_model" + variant + ".safetensors"),
                    {{"w" + variant, at::ones({1})}});
}

TEST(Checkpoint, VariantChoosesTheFilesOfWeights) {
  TemporaryFolder temp;
  temp.write("model_index.json", kIndex);
  for (const std::string variant : {"", ".fp16", ".non_ema"}) write_weights(temp, variant, "unet");
  write_weights(temp, "", "vae");
  const auto read = [&](const CheckpointOptions& options, Component component = Component::kUnet) {
    return Checkpoint::open(temp.path(), options).source->weights(component)->names().at(0);
  };
  EXPECT_EQ(read({}), "w");
  EXPECT_EQ(read({.variant = "non_ema"}), "w.non_ema");
  EXPECT_EQ(read({.variant = "non_ema"}, Component::kVae), "w") << "it has no other";
  EXPECT_NE(message_of([&] {
              read({.variant = "bf16"});
            }).find("has no weights of the variant `bf16`; it has fp16, non_ema, the plain files"),
            std::string::npos);
  temp.write("easel.json", R"({"variant": "fp16"})");
  EXPECT_EQ(read({}), "w.fp16");
  EXPECT_EQ(read({.variant = "non_ema"}), "w.non_ema");
}

TEST(Checkpoint, LicenceComesFromManifestCardOrFile) {
  TemporaryFolder temp;
  temp.write("model_index.json", kIndex);
  const auto licence = [&] { return find_licence(Checkpoint::open(temp.path())); };
  EXPECT_EQ(licence(), "");
  temp.write("LICENSE", "\n  CreativeML Open RAIL-M\n\nmore\n");
  EXPECT_EQ(licence(), "CreativeML Open RAIL-M");
  temp.write("README.md", "---\nlicense: creativeml-openrail-m\ntags: [x]\n---\n# Card\n");
  EXPECT_EQ(licence(), "creativeml-openrail-m");
  temp.write("README.md", "---\nlicense: other\nlicense_name: 'my-terms'\n---\n");
  EXPECT_EQ(licence(), "my-terms");
  temp.write("easel.json", R"({"licence": "Apache-2.0"})");
  EXPECT_EQ(licence(), "Apache-2.0");
}

}  // namespace
}  // namespace easel
