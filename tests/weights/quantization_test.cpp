// Scaled 8-bit weights, and formats that are refused. The values are weight x scale in float32, computed here number by
// number from weights that 8 bits hold exactly.
#include "weights/stores/quantization.h"

#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support.h"
#include "tensor_support.h"
#include "weights/convert/safetensors_writer.h"
#include "weights/stores/ignored_tensors.h"
#include "weights/stores/memory_store.h"

namespace easel {
namespace {

using testing::HasSubstr;
using Tensors = std::map<std::string, at::Tensor>;

constexpr float kWeights[2][3] = {{1.5F, -0.25F, 448.0F}, {0.0F, 0.0625F, -3.0F}};

at::Tensor weights(at::ScalarType type = at::ScalarType::Float8_e4m3fn) {
  std::vector<float> values(&kWeights[0][0], &kWeights[0][0] + 6);
  if (type == at::ScalarType::Float8_e5m2) values[2] = 512.0F;
  return at::tensor(values).view({2, 3}).to(type);
}

at::Tensor bytes(const std::string& text) {
  return at::tensor(std::vector<std::uint8_t>(text.begin(), text.end()), at::kByte);
}

class Quantization : public ::testing::Test {
 protected:
  std::shared_ptr<const TensorStore> open(const Tensors& tensors, const SafetensorsMetadata& metadata = {}) {
    write_safetensors(folder_.path("x.safetensors"), tensors, metadata);
    return with_scales(std::make_shared<SafetensorsFile>(folder_.path("x.safetensors")));
  }
  std::string fault(const Tensors& tensors, const SafetensorsMetadata& metadata = {}) {
    return error_of([&] { open(tensors, metadata); });
  }
  TemporaryFolder folder_;
};

TEST_F(Quantization, ScaleOfATensorMultipliesEachWeightInFloat32) {
  for (const std::string scale : {"a.scale_weight", "a.weight_scale"}) {
    const auto store = open({{"a.weight", weights()}, {scale, at::full({}, 0.1F)}, {"a.bias", at::ones({2})}});
    EXPECT_THAT(store->names(), testing::UnorderedElementsAre("a.weight", "a.bias"));
    const auto read = store->read("a.weight");
    ASSERT_EQ(read.scalar_type(), at::kFloat);
    for (int row = 0; row < 2; ++row) {
      for (int column = 0; column < 3; ++column) {
        EXPECT_EQ(read[row][column].item<float>(), kWeights[row][column] * 0.1F) << scale;
      }
    }
    EXPECT_EQ(store->find("a.weight")->dtype, at::kFloat);
    EXPECT_EQ(store->find("a.weight")->stored_name(), "Float8_e4m3fn");
    EXPECT_EQ(store->find("a.weight")->stored_bytes(), 6);
    EXPECT_TRUE(same(store->read_blocks("a.weight")->decode(at::kFloat), read));
    EXPECT_TRUE(same(store->read("a.bias"), at::ones({2})));
  }
}

TEST_F(Quantization, ScaleOfARowMultipliesItsRow) {
  for (const auto& shape : {std::vector<std::int64_t>{2}, {2, 1}}) {
    const auto store = open({{"a.weight", weights()}, {"a.weight_scale", at::tensor({0.3F, 7.0F}).view(shape)}});
    const auto read = store->read("a.weight");
    for (int column = 0; column < 3; ++column) {
      EXPECT_EQ(read[0][column].item<float>(), kWeights[0][column] * 0.3F);
      EXPECT_EQ(read[1][column].item<float>(), kWeights[1][column] * 7.0F);
    }
  }
}

TEST_F(Quantization, FiveBitsOfExponentAreScaledToo) {
  const auto store =
      open({{"a.weight", weights(at::ScalarType::Float8_e5m2)}, {"a.scale_weight", at::full({1}, 0.1F)}});
  EXPECT_EQ(store->read("a.weight")[0][2].item<float>(), 512.0F * 0.1F);
}

TEST_F(Quantization, MarkersAndScalesOfActivationsAreNotTensorsOfTheModel) {
  const auto store = open({{"m.scaled_fp8", at::zeros({2}).to(at::ScalarType::Float8_e4m3fn)},
                           {"scaled_fp8", at::zeros({0}).to(at::ScalarType::Float8_e4m3fn)},
                           {"m.a.weight", weights()},
                           {"m.a.scale_weight", at::ones({1})},
                           {"m.a.scale_input", at::ones({1})},
                           {"m.b.weight", weights()},
                           {"m.b.weight_scale", at::ones({1})},
                           {"m.b.input_scale", at::ones({1})},
                           {"m.b.comfy_quant", bytes(R"({"format": "float8_e4m3fn"})")}});
  EXPECT_THAT(store->names(), testing::UnorderedElementsAre("m.a.weight", "m.b.weight"));
}

TEST_F(Quantization, FileWithoutScalesIsUnchanged) {
  const auto store = open({{"a.weight", weights()}});
  EXPECT_TRUE(same(store->read("a.weight"), weights()));
}

TEST_F(Quantization, ScalesThatDoNotFitAreErrors) {
  EXPECT_THAT(fault({{"a.weight_scale", at::ones({1})}}), HasSubstr("`a.weight_scale` has no weight `a.weight`"));
  EXPECT_THAT(fault({{"a.weight", weights()}, {"a.weight_scale", at::ones({3})}}),
              HasSubstr("`a.weight_scale` is [3], expected one number, or one for each row of `a.weight`, [2, 3]"));
  EXPECT_THAT(fault({{"a.weight", weights()}, {"a.weight_scale", at::ones({2, 3})}}), HasSubstr("is [2, 3]"));
  EXPECT_THAT(fault({{"a.weight", weights()}, {"a.weight_scale", at::ones({1}, at::kInt)}}),
              HasSubstr("not of floating point"));
  EXPECT_THAT(fault({{"a.weight", weights()}, {"a.weight_scale", at::ones({1})}, {"a.scale_weight", at::ones({1})}}),
              HasSubstr("is a second scale"));
  const Tensors unscaled{{"a.weight", weights()}, {"a.comfy_quant", bytes(R"({"format": "float8_e4m3fn"})")}};
  EXPECT_THAT(fault(unscaled), HasSubstr("`a.weight` is marked as scaled and has no scale"));
  const std::string layers = R"({"format_version": "1.0", "layers": {"a": {"format": "float8_e4m3fn"}}})";
  EXPECT_THAT(fault({{"a.weight", weights()}}, {{"_quantization_metadata", layers}}), HasSubstr("has no scale"));
  EXPECT_THAT(fault({{"a.weight", weights()}}, {{"_quantization_metadata", "[]"}}), HasSubstr("not a JSON object"));
}

TEST_F(Quantization, OtherFormatsOfLayersAreRefusedByName) {
  const Tensors one{{"a.weight", weights()}, {"a.weight_scale", at::ones({1})}};
  auto marked = one;
  marked["a.comfy_quant"] = bytes(R"({"format": "int8_tensorwise"})");
  EXPECT_THAT(fault(marked), HasSubstr("unsupported: " + folder_.path("x.safetensors") +
                                       " is quantised to int8_tensorwise (`a.comfy_quant`)"));
  EXPECT_THAT(fault(one, {{"_quantization_metadata", R"({"layers": {"a": {"format": "nvfp4"}}})"}}),
              HasSubstr("quantised to nvfp4"));
  marked["a.comfy_quant"] = bytes("{");
  EXPECT_THAT(fault(marked), HasSubstr("does not name a format"));
}

TEST_F(Quantization, FormatsThatCannotBeReadAreRefusedByName) {
  const auto refusal = [](const std::string& name, const at::Tensor& tensor) {
    return error_of([&] { refuse_unknown_quantization(MemoryStore({{name, tensor}}, "x.safetensors")); });
  };
  const auto byte = at::zeros({4}, at::kByte);
  EXPECT_THAT(refusal("a.weight.quant_state.bitsandbytes__nf4", byte), HasSubstr("x.safetensors is quantised to NF4"));
  EXPECT_THAT(refusal("a.weight.quant_state.bitsandbytes__fp4", byte), HasSubstr("FP4"));
  EXPECT_THAT(refusal("a.SCB", at::zeros({4})), HasSubstr("int8 (bitsandbytes)"));
  EXPECT_THAT(refusal("a.weight_scale_2", at::zeros({})), HasSubstr("NVFP4"));
  EXPECT_THAT(refusal("a.qkv_proj.wscales", at::zeros({4})), HasSubstr("SVDQuant"));
  EXPECT_THAT(refusal("a.qzeros", byte), HasSubstr("GPTQ"));
  EXPECT_THAT(refusal("a.weight", at::zeros({4, 4}, at::kChar)), HasSubstr("quantised to int8 (`a.weight`)"));
  EXPECT_THAT(refusal("a.weight", at::zeros({4, 4}, at::kByte)), HasSubstr("quantised to uint8 (`a.weight`)"));
  EXPECT_EQ(refusal("a.weight", weights()), "no error");
  EXPECT_EQ(refusal("embeddings.position_ids", at::zeros({1, 77}, at::kLong)), "no error");
}

TEST(IgnoredTensors, PatternsNeverMatchWhatChangesWeights) {
  const std::vector<std::string> patterns{"unet.extra.*", "*.left", "unet.*_norm*"};
  EXPECT_TRUE(is_ignored("unet.extra.weight", patterns));
  EXPECT_TRUE(is_ignored("a.b.left", patterns));
  EXPECT_FALSE(is_ignored("unet.weight", patterns));
  EXPECT_FALSE(is_ignored("unet.extra.weight", {}));
  for (const std::string name : {"bias", "weight_scale", "norm.weight", "layer_norm1.weight", "comfy_quant",
                                 "weight.absmax", "weight.quant_map", "SCB", "zero_point"}) {
    EXPECT_FALSE(is_ignored("unet.extra." + name, patterns)) << name;
  }
  const auto store = std::make_shared<MemoryStore>(Tensors{{"a.left", at::ones({1})}, {"b", at::ones({1})}});
  EXPECT_THAT(without_ignored(store, patterns)->names(), testing::ElementsAre("b"));
  EXPECT_NE(without_ignored(store, patterns)->find("a.left"), nullptr);
  EXPECT_EQ(without_ignored(store, {"c"}), store);
}

}  // namespace
}  // namespace easel
