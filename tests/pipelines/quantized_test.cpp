// Z-Image from GGUF files, from split files, and quantised when it is loaded.
#include <ATen/ops/from_blob.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "pipelines/family_cases.h"
#include "pipelines/pipeline_cases.h"
#include "pipelines/registry.h"
#include "support/message_of.h"
#include "support/parity_results.h"
#include "tensor/component_offloader.h"
#include "weights/convert/safetensors_writer.h"
#include "weights/stores/component_store.h"
#include "weights/stores/gguf_file.h"

namespace easel {
namespace {

using testing::cases;
using testing::generate_image;
using ::testing::HasSubstr;
using testing::reference;
using testing::request_of;
using Paths = std::map<std::string, std::string>;

// diffusers computes GGUF's values in float16, with a rounding after each operation.
constexpr int kApartFromDiffusers = 2;
// The same numbers, but a matrix that was decoded once may be multiplied by another kernel.
constexpr int kApartFromDecoded = 1;

ServedModel open(const std::string& file, const CheckpointOptions& how, const PipelineOptions& given = {}) {
  auto options = given;
  options.placement.device = at::kCPU;
  options.placement.dtype = at::kFloat;
  return open_model("m", reference(file), options, how);
}

Image draw(const ServedModel& model, const nlohmann::json& test_case) {
  return generate_image(*model.load({}, {}), request_of(test_case));
}

/// The largest difference of 8-bit values, which is also recorded. @param column  what the image is compared with
int compare(const std::string& column, const Image& a, const Image& b) {
  if (a.pixels.size() != b.pixels.size()) return 256;
  int largest = 0;
  std::size_t equal = 0;
  for (std::size_t i = 0; i < a.pixels.size(); ++i) {
    largest = std::max(largest, std::abs(int{a.pixels[i]} - int{b.pixels[i]}));
    equal += a.pixels[i] == b.pixels[i] ? 1 : 0;
  }
  testing::record({.area = "quantised weights",
                   .row = "z-image",
                   .column = column,
                   .largest_difference = static_cast<double>(largest),
                   .share_equal = static_cast<double>(equal) / static_cast<double>(a.pixels.size())});
  return largest;
}

Image drawn_by_diffusers(const nlohmann::json& test_case) {
  const auto pixels = open_component(testing::kReferenceFolder, test_case.at("name"))->read("pixels").contiguous();
  const auto* first = pixels.const_data_ptr<std::uint8_t>();
  return {.width = static_cast<int>(pixels.size(1)),
          .height = static_cast<int>(pixels.size(0)),
          .pixels = std::vector<std::uint8_t>(first, first + pixels.numel())};
}

/// The configs of a small model do not follow from its tensors.
Paths with_configs(Paths paths = {}) {
  paths["configs"] = reference("z_image");
  return paths;
}

TEST(Gguf, ImagesAreThoseOfDiffusersAndOfTheDecodedWeights) {
  const auto quantized = open("split/denoiser.q8_0.gguf", {.components = with_configs()});
  // As safetensors of float32.
  const GgufFile file(reference("split/denoiser.q8_0.gguf"));
  std::map<std::string, at::Tensor> decoded;
  for (const auto& name : file.names()) decoded[name] = file.read(name);
  std::filesystem::create_directories(reference("decoded"));
  write_safetensors(reference("decoded/m.safetensors"), decoded);
  const auto plain = open("decoded/m.safetensors", {.components = with_configs()});
  for (const auto& c : cases()) {
    const auto image = draw(quantized, c);
    EXPECT_LE(compare("Q8_0 with diffusers", image, drawn_by_diffusers(c)), kApartFromDiffusers) << c;
    EXPECT_LE(compare("Q8_0 with decoded weights", image, draw(plain, c)), kApartFromDecoded) << c;
  }
}

TEST(Gguf, DescriptionCountsWhatIsStored) {
  const auto quantized = open("split/denoiser.q8_0.gguf", {.components = with_configs()}).description;
  const auto plain = open("z_image", {}).description;
  EXPECT_EQ(quantized.family, "z-image");
  EXPECT_EQ(quantized.parameters, plain.parameters);
  EXPECT_LT(quantized.memory_bytes, plain.memory_bytes);
  for (const auto& component : quantized.components) {
    if (component.name != "transformer") continue;
    EXPECT_GT(component.stored_bytes.at("Q8_0"), 0);
    EXPECT_EQ(component.memory_bytes, component.stored_bytes);
  }
}

TEST(SplitFiles, ImagesAreThoseOfTheFolder) {
  const auto folder = open("z_image", {});
  const Paths files{{"vae", reference("split/ae.safetensors")}, {"qwen", reference("split/qwen.safetensors")}};
  const auto c = cases().at(0);
  const auto expected = draw(folder, c);
  for (const char* denoiser : {"split/denoiser.safetensors", "split/prefixed.safetensors"}) {
    EXPECT_EQ(draw(open(denoiser, {.components = with_configs(files)}), c).pixels, expected.pixels) << denoiser;
  }
  auto with_gguf = files;
  with_gguf["qwen"] = reference("split/qwen.gguf");
  EXPECT_EQ(draw(open("split/denoiser.safetensors", {.components = with_configs(with_gguf)}), c).pixels,
            expected.pixels);
  // Other files for the components of a folder.
  auto all = files;
  all["transformer"] = reference("split/denoiser.safetensors");
  EXPECT_EQ(draw(open("z_image", {.components = all}), c).pixels, expected.pixels);
  all["transformer"] = reference("split/denoiser.q8_0.gguf");
  EXPECT_EQ(draw(open("z_image", {.components = all}), c).pixels,
            draw(open("split/denoiser.q8_0.gguf", {.components = with_configs(files)}), c).pixels);
}

TEST(SplitFiles, ManifestNamesThem) {
  const auto path = reference("split/denoiser.easel.json");
  std::ofstream(path)
      << R"({"components": {"configs": "../z_image", "qwen": "qwen.safetensors", "vae": "ae.safetensors"}})";
  const auto from_manifest = open("split/denoiser.safetensors", {});
  const auto c = cases().at(0);
  EXPECT_EQ(draw(from_manifest, c).pixels, draw(open("z_image", {}), c).pixels);
  std::ofstream(path) << R"({"components": {"t5": "qwen.safetensors"}})";
  EXPECT_THAT(message_of([] { open("split/denoiser.safetensors", {}); }),
              HasSubstr("the model has no component `t5`; it has configs, qwen, tokenizer, transformer, vae"));
  std::filesystem::remove(path);
}

TEST(SplitFiles, WhatIsMissingIsNamedWithTheFlag) {
  const auto fault = [](const Paths& paths) {
    return message_of([&] { open("split/denoiser.safetensors", {.components = paths}); });
  };
  const auto incomplete = reference("incomplete");
  std::filesystem::remove_all(incomplete);
  std::filesystem::copy(reference("z_image"), incomplete, std::filesystem::copy_options::recursive);
  std::filesystem::remove_all(incomplete + "/text_encoder");
  EXPECT_THAT(
      fault({{"configs", incomplete}}),
      HasSubstr("has no `text_encoder` (Qwen3Model); name a file or folder with --component NAME.text_encoder"));
  EXPECT_THAT(fault({{"vae", reference("split/absent")}}), HasSubstr("split/absent, does not exist"));
  EXPECT_THAT(fault(with_configs({{"vae", reference("split/qwen.safetensors")}})),
              HasSubstr("does not hold a AutoencoderKL"));
}

TEST(QuantizedAtLoad, EqualsTheQuantisedFile) {
  const auto c = cases().at(0);
  const auto file = open("split/denoiser.q8_0.gguf", {.components = with_configs()});
  EXPECT_EQ(draw(open("z_image", {.quantization = WeightQuantization::kQ8_0}), c).pixels, draw(file, c).pixels);
  const auto plain = open("z_image", {}), as_floats = open("z_image", {.quantization = WeightQuantization::kFloat8});
  EXPECT_LT(as_floats.description.memory_bytes, plain.description.memory_bytes);
  EXPECT_NE(draw(as_floats, c).pixels, draw(plain, c).pixels);
}

/// Counts the bytes that are on a device which a part of the host's memory stands for.
struct RehearsedDevice {
  std::int64_t held = 0, most = 0;

  std::shared_ptr<ComponentOffloader> offloader(bool streams) {
    return std::make_shared<ComponentOffloader>(
        [this](const at::Tensor& host) {
          const auto bytes = static_cast<std::int64_t>(host.nbytes());
          held += bytes;
          most = std::max(most, held);
          const auto copy = host.clone();
          return at::from_blob(
              copy.mutable_data_ptr(), host.sizes(), copy.strides(), [this, copy, bytes](void*) { held -= bytes; },
              host.options());
        },
        [streams](std::int64_t) { return streams; });
  }
};

TEST(StreamedBlocks, ImagesAreEqualAndTheDeviceHoldsTwoBlocks) {
  const auto c = cases().at(0);
  const auto expected = draw(open("z_image", {}), c);
  RehearsedDevice whole, streamed;
  std::vector<Image> images;
  for (auto* device : {&whole, &streamed}) {
    PipelineOptions options;
    options.placement.offloader = device->offloader(device == &streamed);
    images.push_back(draw(open("z_image", {}, options), c));
    EXPECT_LE(compare("streamed blocks", images.back(), expected), kApartFromDecoded);
  }
  EXPECT_EQ(images[0].pixels, images[1].pixels);
  // Two layers and two pairs of refiners make six blocks, of which two are on the device.
  EXPECT_LT(streamed.most, whole.most * 6 / 10);
}

TEST(QuantizedAtLoad, EstimateIsWhatADeviceHolds) {
  const auto c = cases().at(0);
  RehearsedDevice device;
  PipelineOptions options;
  options.placement.offloader = device.offloader(/*streams=*/false);
  const auto model = open("z_image", {.quantization = WeightQuantization::kQ8_0}, options);
  draw(model, c);
  std::int64_t largest = 0;
  for (const auto& component : model.description.components) {
    std::int64_t bytes = 0;
    for (const auto& [form, count] : component.memory_bytes) bytes += count;
    largest = std::max(largest, bytes);
  }
  EXPECT_NEAR(static_cast<double>(device.most) / static_cast<double>(largest), 1.0, 0.01);
}

TEST(QuantizedAtLoad, StepEstimateCountsTheDecodedLayer) {
  PipelineOptions options;
  options.estimated_sizes = {{512, 384}};
  GenerationRequest r;
  r.prompt = std::string(600, 'x');  // the estimate is for prompts of 512 tokens
  r.negative_prompt = std::string(600, 'y');
  r.seed = 1;
  r.num_inference_steps = 3;
  r.width = 512;
  r.height = 384;
  for (const auto quantization : {WeightQuantization::kQ8_0, WeightQuantization::kFloat8}) {
    const auto served = open("z_image", {.quantization = quantization}, options);
    const auto estimated = served.description.activations.at(1).step_bytes.at(2);
    testing::expect_step_allocates(*served.load({}, {}), r, estimated);
  }
}

}  // namespace
}  // namespace easel
