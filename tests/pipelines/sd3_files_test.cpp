// Stable Diffusion 3.5 from files with the names of the original code: its images are those of the folder.
#include <gtest/gtest.h>

#include <filesystem>

#include "pipelines/pipeline_cases.h"
#include "pipelines/registry.h"

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
  paths["configs"] = reference("sd35");
  return paths;
}

TEST(Sd3Files, SplitFilesDrawTheFoldersImages) {
  const auto expected = pixels_of(open("sd35"));
  const Paths files{{"clip_l", reference("split/clip_l.safetensors")},
                    {"clip_g", reference("split/clip_g.safetensors")},
                    {"t5", reference("split/t5xxl.safetensors")},
                    {"vae", reference("split/vae.safetensors")}};
  EXPECT_EQ(pixels_of(open("split/transformer.safetensors", with_configs(files))), expected);
}

TEST(Sd3Files, OneFileMayHoldAllButT5) {
  EXPECT_EQ(pixels_of(open("split/whole.safetensors", with_configs())), pixels_of(open("sd35")));
}

TEST(Sd3Files, WithoutT5ItsTokensAreZeros) {
  auto paths = with_configs();
  paths["configs"] = reference("without_t5");
  namespace fs = std::filesystem;
  fs::remove_all(paths["configs"]);
  fs::copy(reference("sd35"), paths["configs"], fs::copy_options::recursive);
  fs::remove_all(paths["configs"] + "/text_encoder_3");
  const auto model = open("split/whole.safetensors", paths);
  EXPECT_EQ(model.description.components.size(), 4u) << "two encoders, the transformer and the autoencoder";
  EXPECT_NE(pixels_of(model), pixels_of(open("sd35")));
}

}  // namespace
}  // namespace easel
