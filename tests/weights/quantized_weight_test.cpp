// Blocks decoded for a layer, in its dtype, on a CPU and by the operators of other devices.
#include "weights/loading/quantized_weight.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "tensor_support.h"
#include "weights/stores/gguf_file.h"

namespace easel {
namespace {

/// Every format of blocks that the reference wrote.
std::map<std::string, QuantizedWeight> reference_blocks() {
  const GgufFile file(reference("blocks.gguf"));
  std::map<std::string, QuantizedWeight> found;
  for (const auto& name : file.names()) {
    if (auto blocks = file.read_blocks(name)) found.emplace(name, std::move(*blocks));
  }
  EXPECT_EQ(found.size(), 10u);
  return found;
}

TEST(QuantizedWeight, WeightsOfALayersDtypeAreTheFormulasRoundedOnce) {
  const SafetensorsFile expected(reference("blocks.safetensors"));
  for (const auto& [name, weight] : reference_blocks()) {
    const auto formula = expected.read(name);
    EXPECT_TRUE(same(weight.decode(at::kFloat), formula)) << name;
    EXPECT_TRUE(same(weight.decode(at::kHalf), formula.to(at::kHalf))) << name;
    EXPECT_TRUE(same(weight.decode(at::kBFloat16), formula.to(at::kBFloat16))) << name;
    // The bound that the formats are used with; the rounding of bfloat16 by itself may take twice as much.
    const auto of_blocks = [&](const at::Tensor& t) { return t.reshape({-1, weight.format->values}); };
    const auto largest = of_blocks(formula).abs().amax(1, /*keepdim=*/true);
    const auto error = of_blocks(weight.decode(at::kHalf).to(at::kFloat) - formula).abs();
    const auto bound = largest * 0x1p-10;
    // Below 2^-14, numbers of float16 are multiples of 2^-24.
    EXPECT_TRUE(error.le(bound.clamp_min(0x1p-25)).all().item<bool>()) << name;
  }
}

TEST(QuantizedWeight, OperatorsOfOtherDevicesComputeTheSame) {
  for (const auto& [name, weight] : reference_blocks()) {
    EXPECT_TRUE(same(decode_by_operators(*weight.format, weight.blocks), weight.decode(at::kFloat))) << name;
  }
  const auto bytes = at::arange(256, at::kByte).view({2, 128});
  for (const char* name : {"Float8_e4m3fn", "Float8_e5m2"}) {
    const QuantizedWeight weight{.format = find_block_format(name), .blocks = bytes, .scale = {}, .shape = {2, 128}};
    const auto decoded = weight.decode(at::kFloat), by_operators = decode_by_operators(*weight.format, bytes);
    EXPECT_TRUE(decoded.isnan().equal(by_operators.isnan())) << name;
    EXPECT_TRUE(decoded.nan_to_num(0, 1e9, -1e9).equal(by_operators.nan_to_num(0, 1e9, -1e9))) << name;
  }
}

TEST(QuantizedWeight, RowsAreIndependent) {
  const auto blocks = reference_blocks();
  const auto& weight = blocks.at("Q5_K.weight");
  const auto whole = weight.decode(at::kFloat);
  EXPECT_TRUE(same(weight.narrow(2, 3).decode(at::kFloat), whole.narrow(0, 2, 3)));
  const auto indices = at::tensor(std::vector<std::int64_t>{5, 0, 5});
  EXPECT_TRUE(same(weight.select(indices).decode(at::kFloat), whole.index_select(0, indices)));
}

TEST(QuantizedWeight, ScalesOfRowsFollowTheirRows) {
  const auto stored = at::tensor(std::vector<float>{1, 2, -3, 0.5, 448, 0}).view({3, 2});
  const QuantizedWeight weight{.format = find_block_format("Float8_e4m3fn"),
                               .blocks = stored.to(at::ScalarType::Float8_e4m3fn).view(at::kByte),
                               .scale = at::tensor(std::vector<float>{0.1F, 10, 3}).view({3, 1}),
                               .shape = {3, 2}};
  EXPECT_TRUE(same(weight.decode(at::kFloat), stored * weight.scale));
  EXPECT_TRUE(same(weight.narrow(1, 2).decode(at::kFloat), (stored * weight.scale).narrow(0, 1, 2)));
  EXPECT_TRUE(same(weight.select(at::tensor(std::vector<std::int64_t>{2})).decode(at::kHalf),
                   (stored * weight.scale).narrow(0, 2, 1).to(at::kHalf)));
}

TEST(QuantizedWeight, LargeWeightsAreDecodedInPieces) {
  const auto rows = 3 * QuantizedWeight::kDecodedAtOnce / 256 + 5;
  auto blocks = at::randint(256, {rows, 8 * 34}, at::TensorOptions().dtype(at::kByte));
  blocks.view({rows, 8, 34}).narrow(2, 1, 1).fill_(0x2C);  // the high byte of the scale: about 0.07
  const QuantizedWeight weight{
      .format = find_block_format("Q8_0"), .blocks = blocks, .scale = {}, .shape = {rows, 256}};
  const auto decoded = weight.decode(at::kFloat);
  EXPECT_TRUE(same(decoded, decode_by_operators(*weight.format, blocks)));
  EXPECT_TRUE(same(weight.decode(at::kBFloat16), decoded.to(at::kBFloat16)));
}

TEST(QuantizedWeight, EncodedQ8EqualsTheReferences) {
  const SafetensorsFile expected(reference("blocks.safetensors"));
  const auto encoded = encode_q8_0(expected.read("weights"));
  EXPECT_TRUE(same(encoded.blocks, reference_blocks().at("Q8_0.weight").blocks));
}

TEST(QuantizedWeight, EncodedFloat8UsesItsWholeRange) {
  const auto weight = at::randn({5, 7}) * 3;
  const auto encoded = encode_float8(weight);
  const auto decoded = encoded.decode(at::kFloat);
  EXPECT_FLOAT_EQ(decoded.abs().max().item<float>(), weight.abs().max().item<float>());
  const auto step = (weight.abs() * 0x1p-4).clamp_min(encoded.scale.item<float>() * 0x1p-10);
  EXPECT_TRUE((decoded - weight).abs().le(step * 1.001).all().item<bool>());
  EXPECT_EQ(encode_float8(at::zeros({2, 2})).decode(at::kFloat).abs().max().item<float>(), 0.0F);
}

}  // namespace
}  // namespace easel
