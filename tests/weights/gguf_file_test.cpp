// GGUF files that the gguf package wrote, against the float32 values of its formulas.
#include "weights/stores/gguf_file.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support.h"
#include "tensor_support.h"
#include "weights/convert/gguf_writer.h"
#include "weights/stores/memory_store.h"
#include "weights/stores/quantizing_store.h"

namespace easel {
namespace {

using testing::HasSubstr;

TEST(GgufFile, ValuesAreThoseOfTheFormulas) {
  const GgufFile file(reference("blocks.gguf"));
  const SafetensorsFile expected(reference("blocks.safetensors"));
  ASSERT_EQ(file.names().size(), 14u);
  for (const auto& name : file.names()) {
    EXPECT_TRUE(same(file.read(name).to(at::kFloat), expected.read(name))) << name;
    EXPECT_TRUE(at::IntArrayRef(file.find(name)->shape).equals(expected.read(name).sizes())) << name;
  }
  EXPECT_EQ(file.header().strings.at("general.architecture"), "flux");
}

TEST(GgufFile, BlocksAreViewsAndKnowTheirSize) {
  const GgufFile file(reference("blocks.gguf"));
  const auto& info = *file.find("Q4_K.weight");
  EXPECT_EQ(info.stored_name(), "Q4_K");
  EXPECT_EQ(info.stored_bytes(), 6 * 1024 / 256 * 144);
  const auto blocks = file.read_blocks("Q4_K.weight");
  ASSERT_TRUE(blocks);
  EXPECT_EQ(blocks->blocks.nbytes(), 6u * 1024 / 256 * 144);
  const auto mapped = file.mapped_files()[0]->bytes();
  const auto* bytes = static_cast<const std::byte*>(blocks->blocks.const_data_ptr());
  EXPECT_TRUE(bytes >= mapped.data() && bytes < mapped.data() + mapped.size());
  EXPECT_FALSE(file.read_blocks("F16.weight"));
  EXPECT_EQ(file.find("F16.weight")->stored_name(), "float16");
  EXPECT_FALSE(file.read_blocks("cube"));
}

TEST(GgufFile, OtherFilesAndMissingTensorsAreErrors) {
  EXPECT_THAT(error_of([] { GgufFile file(reference("blocks.safetensors")); }), HasSubstr("is not a GGUF file"));
  const GgufFile file(reference("blocks.gguf"));
  EXPECT_THAT(error_of([&] { file.read("absent"); }), HasSubstr("blocks.gguf has no tensor `absent`"));
}

TEST(GgufWriter, WritesWhatTheReaderReads) {
  const auto file = std::make_shared<GgufFile>(reference("blocks.gguf"));
  TemporaryFolder folder;
  std::size_t last = 0;
  const auto bytes = write_gguf(folder.path("copy.gguf"), *file, {{"general.architecture", "flux"}},
                                [&](std::size_t done) { last = done; });
  EXPECT_EQ(last, file->names().size());
  EXPECT_EQ(bytes, read_file(folder.path("copy.gguf")).size());
  const GgufFile copy(folder.path("copy.gguf"));
  EXPECT_EQ(copy.names(), file->names());
  expect_same_tensors(copy, *file);
  EXPECT_EQ(copy.find("Q6_K.weight")->stored_name(), "Q6_K");
  EXPECT_EQ(copy.header().strings.at("general.architecture"), "flux");
}

TEST(GgufWriter, TensorsThatTheFormatDoesNotHaveAreErrors) {
  TemporaryFolder folder;
  const MemoryStore store({{"a", at::zeros({2}).to(at::ScalarType::Float8_e4m3fn)}}, "m");
  EXPECT_THAT(error_of([&] { write_gguf(folder.path("x.gguf"), store, {}); }),
              HasSubstr("unsupported: m: tensor `a`, Float8_e4m3fn [2], cannot be written as GGUF"));
}

TEST(QuantizingStore, MatricesOfBlocksAreQuantisedAndOthersStay) {
  const auto random = [](at::IntArrayRef shape) { return at::randn(shape, at::kHalf); };
  const std::map<std::string, at::Tensor> tensors{
      {"layers.0.to_q.weight", random({4, 64})}, {"layers.0.to_q.bias", random({4})},
      {"layers.0.odd.weight", random({4, 24})},  {"layers.0.embed.weight", random({4, 64})},
      {"layers.0.norm.weight", random({64})},    {"proj_out.weight", random({4, 64})}};
  const auto store = std::make_shared<MemoryStore>(tensors);
  const auto as_integers = quantizing(store, WeightQuantization::kQ8_0),
             as_floats = quantizing(store, WeightQuantization::kFloat8);
  for (const auto& [name, tensor] : tensors) {
    const bool is_matrix = name == "layers.0.to_q.weight";
    EXPECT_EQ(as_integers->find(name)->blocks != nullptr, is_matrix) << name;
    EXPECT_EQ(as_floats->find(name)->blocks != nullptr, is_matrix || name == "layers.0.odd.weight") << name;
    if (!is_matrix) {
      EXPECT_TRUE(same(as_integers->read(name), tensor)) << name;
    }
    if (is_matrix) {
      // Half a step of the largest value's scale, and half a step of three bits of mantissa.
      const auto largest = tensor.abs().max().item<double>();
      EXPECT_LE((as_integers->read(name) - tensor).abs().max().item<double>(), largest / 127 * 0.51);
      EXPECT_LE((as_floats->read(name) - tensor).abs().max().item<double>(), largest / 16 * 1.01);
    }
  }
  EXPECT_THAT(error_of([] { parse_quantization("int4"); }), HasSubstr("expected fp8 or q8_0"));
}

}  // namespace
}  // namespace easel
