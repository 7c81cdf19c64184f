// Stable Diffusion 3.5 from files with the names of the original code: its images are those of the folder.
#include <gtest/gtest.h>

#include <filesystem>

#include "pipelines/family_cases.h"
#include "pipelines/pipeline_cases.h"

namespace easel {
namespace {

using testing::open_files;
using testing::pixels_of;
using testing::reference;

/// The configs of a small model do not follow from its tensors. Its vocabulary is not the published one either.
constexpr char kFolder[] = "sd35";

TEST(Sd3Files, SplitFilesDrawTheFoldersImages) {
  const auto files = open_files("split/transformer.safetensors", {{"configs", kFolder},
                                                                  {"clip_l", "split/clip_l.safetensors"},
                                                                  {"clip_g", "split/clip_g.safetensors"},
                                                                  {"t5", "split/t5xxl.safetensors"},
                                                                  {"vae", "split/vae.safetensors"}});
  EXPECT_EQ(pixels_of(files), pixels_of(open_files(kFolder)));
}

TEST(Sd3Files, OneFileMayHoldAllButT5) {
  EXPECT_EQ(pixels_of(open_files("split/whole.safetensors", {{"configs", kFolder}})), pixels_of(open_files(kFolder)));
}

TEST(Sd3Files, WithoutT5ItsTokensAreZeros) {
  const auto configs = reference("without_t5");
  namespace fs = std::filesystem;
  fs::remove_all(configs);
  fs::copy(reference(kFolder), configs, fs::copy_options::recursive);
  fs::remove_all(configs + "/text_encoder_3");
  const auto model = open_files("split/whole.safetensors", {{"configs", "without_t5"}});
  EXPECT_EQ(model.description.components.size(), 4u) << "two encoders, the transformer and the autoencoder";
  EXPECT_NE(pixels_of(model), pixels_of(open_files(kFolder)));
}

}  // namespace
}  // namespace easel
