// FLUX.1 from files with the names of the original code: its images are those of the folder.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pipelines/pipeline_cases.h"
#include "pipelines/registry.h"
#include "support/message_of.h"

namespace easel {
namespace {

using testing::generate_image;
using testing::reference;
using Paths = std::map<std::string, std::string>;

ServedModel open(const std::string& file, const Paths& components = {}) {
  PipelineOptions options;
  options.placement = {.device = at::kCPU, .dtype = at::kFloat};
  options.estimate_activations = false;
  return open_model("m", reference(file), options, {.components = components});
}

std::vector<std::uint8_t> pixels_of(const ServedModel& model) {
  GenerationRequest r;
  r.prompt = "a fox on a blue background";
  r.seed = 7;
  r.num_inference_steps = 3;
  r.width = 144;
  r.height = 80;
  return generate_image(*model.load({}, {}), r).pixels;
}

/// The configs of a small model do not follow from its tensors. Its vocabulary is not the published one either.
Paths with_configs(Paths paths = {}) {
  paths["configs"] = reference("flux_dev");
  return paths;
}

TEST(FluxFiles, SplitFilesDrawTheFoldersImages) {
  const auto expected = pixels_of(open("flux_dev"));
  const Paths files{{"clip_l", reference("split/clip_l.safetensors")},
                    {"t5", reference("split/t5xxl.safetensors")},
                    {"vae", reference("split/ae.safetensors")}};
  EXPECT_EQ(pixels_of(open("split/flux.safetensors", with_configs(files))), expected);
  auto all = files;
  all["transformer"] = reference("split/flux.safetensors");
  EXPECT_EQ(pixels_of(open("flux_dev", all)), expected) << "in place of the folder's own";
}

TEST(FluxFiles, OneFileMayHoldAll) {
  EXPECT_EQ(pixels_of(open("split/whole.safetensors", with_configs())), pixels_of(open("flux_dev")));
}

TEST(FluxFiles, WhatDoesNotFollowFromSmallFilesIsNamed) {
  EXPECT_THAT(message_of([] { open("split/whole.safetensors"); }), ::testing::HasSubstr("heads of 24 channels"));
}

}  // namespace
}  // namespace easel
