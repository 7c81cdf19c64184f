#include "hub/file_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "easel/error.h"

namespace easel::hub {
namespace {

using testing::UnorderedElementsAre;

std::vector<RemoteFile> files_of(const std::vector<std::string>& paths) {
  std::vector<RemoteFile> files;
  for (const auto& path : paths) files.push_back({.path = path});
  return files;
}

std::vector<std::string> choose(std::vector<std::string> paths, bool prefer_half = false) {
  paths.push_back("model_index.json");
  std::vector<std::string> chosen;
  for (const auto& file : choose_model_files(files_of(paths), "", prefer_half)) {
    if (file.path != "model_index.json") chosen.push_back(file.path);
  }
  return chosen;
}

TEST(FileChoice, PrefersSafetensorsOfTheWantedPrecision) {
  const std::vector<std::string> paths = {"unet/config.json", "unet/diffusion_pytorch_model.bin",
                                          "unet/diffusion_pytorch_model.safetensors",
                                          "unet/diffusion_pytorch_model.fp16.safetensors"};
  EXPECT_THAT(choose(paths), UnorderedElementsAre("unet/config.json", "unet/diffusion_pytorch_model.safetensors"));
  EXPECT_THAT(choose(paths, true),
              UnorderedElementsAre("unet/config.json", "unet/diffusion_pytorch_model.fp16.safetensors"));
}

TEST(FileChoice, LeavesOutTheWeightsOfComponentsThatComeFromElsewhere) {
  std::vector<std::string> paths = {"model_index.json", "transformer/config.json",
                                    "transformer/diffusion_pytorch_model.safetensors", "vae/config.json",
                                    "vae/diffusion_pytorch_model.safetensors"};
  std::vector<std::string> chosen;
  for (const auto& file : choose_model_files(files_of(paths), "", false, {"transformer"})) chosen.push_back(file.path);
  EXPECT_THAT(chosen, UnorderedElementsAre("model_index.json", "transformer/config.json", "vae/config.json",
                                           "vae/diffusion_pytorch_model.safetensors"));
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
                             "unet/diffusion_pytorch_model.fp16-00001-of-00001.safetensors"});
  EXPECT_THAT(choose(paths), testing::UnorderedElementsAreArray(full));
}

TEST(FileChoice, LeavesOutWhatEaselDoesNotRead) {
  EXPECT_THAT(choose({"sample.png", "v1-5.ckpt", "v1-5.safetensors", "safety_checker/config.json",
                      "safety_checker/model.safetensors", "unet/model.onnx", "unet/flax_model.msgpack",
                      "text_encoder/tf_model.h5", "easel.json", "LICENSE.md", "NOTICE"}),
              UnorderedElementsAre("LICENSE.md", "NOTICE"));
}

TEST(FileChoice, NamesFilesThatMayBePulledInstead) {
  try {
    choose_model_files(files_of({"a.safetensors"}), "", false);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kNotFound);
    EXPECT_NE(std::string(e.what()).find(":a.safetensors"), std::string::npos);
  }
}

}  // namespace
}  // namespace easel::hub
