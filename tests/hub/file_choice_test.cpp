#include "hub/file_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "support/message_of.h"

namespace easel::hub {
namespace {

using testing::UnorderedElementsAre;

std::vector<RemoteFile> files_of(const std::vector<std::string>& paths) {
  std::vector<RemoteFile> files;
  for (const auto& path : paths) files.push_back({.path = path, .size = 1});
  return files;
}

/// What is chosen of a repository whose index names a UNet, an autoencoder, a text encoder and a safety checker,
/// without the index itself. Weights of components that do not matter to a test are added and left out again.
std::vector<std::string> choose(std::vector<std::string> paths, const std::string& half_variant = "") {
  const std::vector<std::string> others = {"unet/diffusion_pytorch_model.safetensors",
                                           "vae/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"};
  paths.push_back("model_index.json");
  std::set<std::string> added;
  for (const auto& other : others) {
    const auto folder = other.substr(0, other.find('/') + 1);
    const auto is_there = [&](const std::string& path) { return path.starts_with(folder + "diffusion"); };
    if (std::none_of(paths.begin(), paths.end(), is_there)) added.insert(other);
  }
  paths.insert(paths.end(), added.begin(), added.end());
  std::vector<std::string> chosen;
  const WantedModel wanted{.components = {"unet", "vae", "text_encoder", "safety_checker"},
                           .half_variant = half_variant};
  for (const auto& file : choose_model_files(files_of(paths), wanted)) {
    if (file.path != "model_index.json" && !added.contains(file.path)) chosen.push_back(file.path);
  }
  return chosen;
}

std::string refusal(const std::vector<std::string>& paths) {
  const WantedModel wanted{.components = {"unet", "scheduler"}};
  return message_of([&] { choose_model_files(files_of(paths), wanted); });
}

TEST(FileChoice, PrefersSafetensorsOfTheWantedPrecision) {
  const std::vector<std::string> paths = {"unet/config.json", "unet/diffusion_pytorch_model.bin",
                                          "unet/diffusion_pytorch_model.safetensors",
                                          "unet/diffusion_pytorch_model.fp16.safetensors"};
  EXPECT_THAT(choose(paths), UnorderedElementsAre("unet/config.json", "unet/diffusion_pytorch_model.safetensors"));
  EXPECT_THAT(choose(paths, "fp16"),
              UnorderedElementsAre("unet/config.json", "unet/diffusion_pytorch_model.fp16.safetensors"));
}

TEST(FileChoice, LeavesOutTheWeightsOfComponentsThatComeFromElsewhere) {
  std::vector<std::string> paths = {"model_index.json", "transformer/config.json",
                                    "transformer/diffusion_pytorch_model.safetensors", "vae/config.json",
                                    "vae/diffusion_pytorch_model.safetensors"};
  std::vector<std::string> chosen;
  const WantedModel wanted{.components = {"transformer", "vae"}, .without = {"transformer"}};
  for (const auto& file : choose_model_files(files_of(paths), wanted)) chosen.push_back(file.path);
  EXPECT_THAT(chosen, UnorderedElementsAre("model_index.json", "transformer/config.json", "vae/config.json",
                                           "vae/diffusion_pytorch_model.safetensors"));
}

TEST(FileChoice, PrefersTheVariantOfTheDtypeToTheOtherOfItsSize) {
  const std::string stem = "unet/diffusion_pytorch_model.";
  const std::vector<std::string> all = {stem + "safetensors", stem + "fp16.safetensors", stem + "bf16.safetensors"};
  for (const std::string variant : {"fp16", "bf16"}) {
    EXPECT_THAT(choose(all, variant), UnorderedElementsAre(stem + variant + ".safetensors"));
    const auto other = variant == "fp16" ? all[2] : all[1];
    EXPECT_THAT(choose({all[0], other}, variant), UnorderedElementsAre(other));
  }
}

TEST(FileChoice, TakesTheOtherPrecisionRatherThanAPickle) {
  const std::vector<std::string> paths = {"vae/config.json", "vae/diffusion_pytorch_model.bin",
                                          "vae/diffusion_pytorch_model.fp16.safetensors"};
  EXPECT_THAT(choose(paths), UnorderedElementsAre("vae/config.json", "vae/diffusion_pytorch_model.fp16.safetensors"));
}

TEST(FileChoice, TakesTheShardsOfOneVariant) {
  const std::vector<std::string> full = {"unet/config.json", "unet/diffusion_pytorch_model.safetensors.index.json",
                                         "unet/diffusion_pytorch_model-00001-of-00002.safetensors",
                                         "unet/diffusion_pytorch_model-00002-of-00002.safetensors"};
  auto paths = full;
  paths.insert(paths.end(), {"unet/diffusion_pytorch_model.safetensors.index.fp16.json",
                             "unet/diffusion_pytorch_model.fp16-00001-of-00001.safetensors",
                             "unet/diffusion_pytorch_model.non_ema-00001-of-00001.safetensors"});
  EXPECT_THAT(choose(paths), testing::UnorderedElementsAreArray(full));
}

TEST(FileChoice, LeavesOutWhatEaselDoesNotRead) {
  EXPECT_THAT(choose({"sample.png", "v1-5.ckpt", "v1-5.safetensors", "safety_checker/config.json",
                      "safety_checker/model.safetensors", "unet/model.onnx", "unet/flax_model.msgpack",
                      "text_encoder/tf_model.h5", "easel.json", "LICENSE.md", "NOTICE", "vae_1_0/config.json",
                      "vae_1_0/diffusion_pytorch_model.safetensors"}),
              UnorderedElementsAre("LICENSE.md", "NOTICE"));
}

TEST(FileChoice, TakesBf16OnlyWhereThereIsNothingElse) {
  const std::vector<std::string> paths = {"unet/config.json", "unet/diffusion_pytorch_model.bin",
                                          "unet/diffusion_pytorch_model.bf16.safetensors"};
  EXPECT_THAT(choose(paths), UnorderedElementsAre("unet/config.json", "unet/diffusion_pytorch_model.bf16.safetensors"));
}

TEST(FileChoice, AComponentNeedsWeights) {
  EXPECT_EQ(refusal({"model_index.json", "unet/config.json", "unet/model.onnx"}),
            "its component `unet` has no weights that easel reads, only model.onnx");
  EXPECT_EQ(refusal({"model_index.json"}), "its component `unet` has no weights that easel reads");
}

TEST(FileChoice, NamesWhatMayBePulledInstead) {
  const std::string nothing = "there is no model_index.json, so this is not a model in the layout of diffusers";
  EXPECT_EQ(refusal({"a.safetensors", "README.md"}),
            nothing + "; name one of its files after a colon, e.g. :a.safetensors");
  EXPECT_EQ(refusal({"q/a.GGUF"}), nothing + "; name one of its files after a colon, e.g. :q/a.GGUF");
  EXPECT_EQ(refusal({"v2/model_index.json"}), nothing + "; name one of its folders, e.g. /v2");
  EXPECT_EQ(refusal({"README.md"}), nothing);
}

}  // namespace
}  // namespace easel::hub
