// AutoencoderTiny against diffusers, in a checkpoint, in place of its autoencoder, and for previews: see
// make_tiny_autoencoder.py.
#include <ATen/TensorOperators.h>
#include <ATen/ops/ones.h>
#include <c10/core/InferenceMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <string>

#include "models/autoencoders/autoencoder_kl.h"
#include "models/memory/activation_memory.h"
#include "pipelines/family_cases.h"
#include "pipelines/pipeline_cases.h"
#include "pipelines/registry.h"
#include "support/counting_allocator.h"
#include "support/message_of.h"
#include "weights/loading/weights.h"
#include "weights/stores/component_store.h"
#include "weights/stores/safetensors.h"

namespace easel {
namespace {

using testing::begin;
using testing::generate_image;
using ::testing::HasSubstr;
using testing::reference;
using testing::relative_error;
using testing::request;
using testing::step;

PipelineOptions on_cpu() {
  return {.placement = {.device = at::kCPU, .dtype = at::kFloat}, .estimate_activations = false};
}

ServedModel with_vae(const std::string& vae) {
  return open_model("m", reference("sd1"), on_cpu(), {.vae = reference(vae)});
}

AutoencoderKL load_tiny() {
  const auto folder = reference("sd1_tiny/vae");
  auto json = Config::read_file(folder + "/config.json", folder);
  Weights weights(open_component(folder, "diffusion_pytorch_model"), {.device = at::kCPU, .dtype = at::kFloat});
  AutoencoderKL vae(AutoencoderKLConfig::from(json), weights.root());
  weights.finish();
  return vae;
}

TEST(AutoencoderTiny, LatentsAndPixelsMatchDiffusers) {
  EXPECT_EQ(testing::expect_all_cases_agree(), 2);
}

TEST(AutoencoderTiny, EncodesAndDecodesAsDiffusersDoes) {
  const c10::InferenceMode inference;
  constexpr double kRounding = 1e-6;  // where two memory formats of the reference differ by nothing
  const SafetensorsFile vectors(reference("tensors.safetensors"));
  const auto tolerance = std::max(4 * vectors.read("tolerance").max().item<double>(), kRounding);
  const auto vae = load_tiny();
  const auto encoded = vae.encode(vectors.read("x"), {});
  EXPECT_FALSE(encoded.is_random());
  EXPECT_LT(relative_error(encoded.mean, vectors.read("encoded")), tolerance);
  EXPECT_LT(relative_error(vae.decode(vectors.read("z"), {}), vectors.read("decoded")), tolerance);
}

TEST(AutoencoderTiny, TakesThePlaceOfTheModelsOwn) {
  const auto r = request("a fox", 7, 2);
  const auto expected = generate_image(*testing::load("sd1_tiny"), r).pixels;
  for (const char* vae :
       {"sd1_tiny/vae", "sd1_tiny", "tiny.safetensors", "taesd_decoder.safetensors", "taesd_encoder.safetensors"}) {
    EXPECT_EQ(generate_image(*with_vae(vae).load({}, {}), r).pixels, expected) << vae;
  }
}

TEST(AutoencoderTiny, IsRefusedWhereItsLatentsDoNotFit) {
  EXPECT_THAT(message_of([] { with_vae("tiny16"); }), HasSubstr("`latent_channels` is 16, but 4 in the model's own"));
  EXPECT_THAT(message_of([] { with_vae("tiny_shallow"); }), HasSubstr("it has 3 levels, but the model's own 4"));
  const auto alone = std::filesystem::path(::testing::TempDir()) / "easel_alone_decoder.safetensors";
  std::filesystem::copy_file(reference("taesd_decoder.safetensors"), alone,
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_THAT(message_of([&] { open_model("m", reference("sd1"), on_cpu(), {.vae = alone.string()}); }),
              HasSubstr("its encoder must be next to it, as easel_alone_encoder.safetensors"));
  std::filesystem::remove(alone);
  EXPECT_THAT(message_of([] { open_model("m", reference("sd1"), on_cpu(), {.preview_vae = reference("sd1/vae")}); }),
              HasSubstr("easel supports AutoencoderTiny there"));
}

double share_equal(const Image& a, const Image& b) {
  if (a.pixels.size() != b.pixels.size()) return 0;
  std::size_t equal = 0;
  for (std::size_t i = 0; i < a.pixels.size(); ++i) equal += a.pixels[i] == b.pixels[i] ? 1 : 0;
  return static_cast<double>(equal) / static_cast<double>(a.pixels.size());
}

TEST(AutoencoderTiny, DecodesPreviews) {
  const auto served =
      open_model("m", reference("sd1"), on_cpu(), {.preview_vae = reference("taesd_decoder.safetensors")});
  EXPECT_EQ(served.description.components.back().name, "preview_vae");
  const auto with = served.load({}, {}), without = testing::load("sd1"), tiny = testing::load("sd1_tiny");
  auto r = request("a fox", 7, 1);
  r.scheduler = "euler";  // a single step of it ends at the prediction of the image
  const auto preview_of = [&](Pipeline& pipeline) {
    const auto generation = begin(pipeline, r);
    step(pipeline, generation.get());
    return *pipeline.preview(*generation);
  };
  const auto preview = preview_of(*with);
  EXPECT_EQ(preview.width, 128);
  EXPECT_GE(share_equal(preview, generate_image(*tiny, r)), 0.999) << "the last step rounds differently";
  EXPECT_EQ(preview_of(*tiny).pixels, preview.pixels) << "an AutoencoderTiny of the model itself decodes previews, too";
  EXPECT_EQ(preview_of(*without).width, 16);
  EXPECT_EQ(generate_image(*with, r).pixels, generate_image(*without, r).pixels);
}

TEST(AutoencoderTiny, MemoryEstimateMatchesAllocation) {
  const c10::InferenceMode inference;
  constexpr double kTolerance = 0.05;  // the workspaces of kernels are not estimated
  const Placement cpu{.device = at::kCPU, .dtype = at::kFloat};
  const auto vae = load_tiny();
  // The estimates count the input, too.
  const auto decode = [&] { vae.decode(at::ones({1, 4, 32, 40}), {}); };
  const auto encode = [&] { vae.encode(at::ones({1, 3, 256, 320}), {}); };
  decode();  // lays out the weights
  encode();
  const LatentSize size{.rows = 1, .height = 32, .width = 40};
  const auto ratio = [](std::int64_t estimated, std::int64_t allocated) {
    return static_cast<double>(estimated) / static_cast<double>(allocated);
  };
  EXPECT_NEAR(ratio(decode_bytes(vae.config(), size, cpu), testing::peak_allocated_bytes(decode)), 1, kTolerance);
  EXPECT_NEAR(ratio(encode_bytes(vae.config(), size, cpu), testing::peak_allocated_bytes(encode)), 1, kTolerance);
}

}  // namespace
}  // namespace easel
