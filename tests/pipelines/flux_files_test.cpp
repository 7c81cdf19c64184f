// FLUX.1 from files with the names of the original code: its images are those of the folder.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pipelines/family_cases.h"
#include "support/message_of.h"

namespace easel {
namespace {

using testing::open_files;
using testing::pixels_of;

/// The configs of a small model do not follow from its tensors. Its vocabulary is not the published one either.
constexpr char kFolder[] = "flux_dev";

TEST(FluxFiles, SplitFilesDrawTheFoldersImages) {
  const auto expected = pixels_of(open_files(kFolder));
  const std::map<std::string, std::string> files{
      {"clip_l", "split/clip_l.safetensors"}, {"t5", "split/t5xxl.safetensors"}, {"vae", "split/ae.safetensors"}};
  auto with_configs = files, all = files;
  with_configs["configs"] = kFolder;
  EXPECT_EQ(pixels_of(open_files("split/flux.safetensors", with_configs)), expected);
  all["transformer"] = "split/flux.safetensors";
  EXPECT_EQ(pixels_of(open_files(kFolder, all)), expected) << "in place of the folder's own";
}

TEST(FluxFiles, OneFileMayHoldAll) {
  EXPECT_EQ(pixels_of(open_files("split/whole.safetensors", {{"configs", kFolder}})), pixels_of(open_files(kFolder)));
}

TEST(FluxFiles, WhatDoesNotFollowFromSmallFilesIsNamed) {
  EXPECT_THAT(message_of([] { open_files("split/whole.safetensors"); }), ::testing::HasSubstr("heads of 24 channels"));
}

}  // namespace
}  // namespace easel
