#include "pipelines/families/automatic_dtype.h"

#include <ATen/ops/full.h>
#include <gtest/gtest.h>

#include <map>
#include <utility>

#include "easel/model.h"

namespace easel {
namespace {

/// Tensors in memory.
class Tensors : public TensorStore {
 public:
  explicit Tensors(std::map<std::string, at::Tensor> tensors) : tensors_(std::move(tensors)) {
    for (const auto& [name, tensor] : tensors_) {
      infos_[name] = {.file = "memory", .dtype = tensor.scalar_type(), .shape = tensor.sizes().vec()};
    }
  }
  std::vector<std::string> names() const override {
    std::vector<std::string> names;
    for (const auto& [name, tensor] : tensors_) names.push_back(name);
    return names;
  }
  const TensorInfo* find(const std::string& name) const override { return &infos_.at(name); }
  at::Tensor read(const std::string& name) const override { return tensors_.at(name); }
  std::string where() const override { return "memory"; }

 private:
  std::map<std::string, at::Tensor> tensors_;
  std::map<std::string, TensorInfo> infos_;
};

at::Tensor filled(double value, c10::ScalarType dtype = c10::kFloat) {
  return at::full({2, 2}, value, at::TensorOptions(dtype));
}

constexpr double kExact = 1.0078125;     // 1 + 2^-7, the next number after 1 in bfloat16
constexpr double kInexact = 1.00390625;  // 1 + 2^-8, which bfloat16 has not

TEST(SuitedToBfloat16, WeightsOfSixteenBitsAre) {
  EXPECT_TRUE(is_suited_to_bfloat16(Tensors({{"a.weight", filled(kInexact, c10::kHalf)}})));
  EXPECT_TRUE(is_suited_to_bfloat16(Tensors({{"a.weight", filled(kExact, c10::kBFloat16)}})));
  EXPECT_TRUE(is_suited_to_bfloat16(Tensors({{"a.weight", filled(1, c10::kFloat8_e4m3fn)}})));
}

TEST(SuitedToBfloat16, Float32WeightsAreIfTheirValuesAreExact) {
  EXPECT_TRUE(is_suited_to_bfloat16(Tensors({{"a.weight", filled(kExact)}})));
  EXPECT_FALSE(is_suited_to_bfloat16(Tensors({{"a.weight", filled(kInexact)}})));
}

TEST(SuitedToBfloat16, OneInexactBlockIsEnoughToRefuse) {
  EXPECT_FALSE(is_suited_to_bfloat16(Tensors({{"down_blocks.0.conv.weight", filled(kExact)},
                                              {"down_blocks.1.conv.weight", filled(kInexact)},
                                              {"up_blocks.0.conv.weight", filled(1, c10::kHalf)}})));
}

TEST(SuitedToBfloat16, IntegersDoNotCount) {
  EXPECT_TRUE(is_suited_to_bfloat16(Tensors({{"position_ids", filled(7, c10::kLong)}, {"a.weight", filled(kExact)}})));
}

TEST(AutomaticDtype, IsFloat16OnAGpu) {
  EXPECT_EQ(automatic_dtype(c10::Device(c10::kCUDA, 0), Tensors({{"a.weight", filled(kInexact)}})), c10::kHalf);
}

TEST(AutomaticDtype, FollowsTheCpuAndTheWeights) {
  const c10::Device cpu(c10::kCPU);
  EXPECT_EQ(automatic_dtype(cpu, Tensors({{"a.weight", filled(kInexact)}})), c10::kFloat);
  EXPECT_EQ(automatic_dtype(cpu, Tensors({{"a.weight", filled(kExact)}})),
            cpu_multiplies_bfloat16() ? c10::kBFloat16 : c10::kFloat);
}

TEST(AutomaticDtype, IsDescribedAndAppliesOnlyToAuto) {
  const std::string emoji = EASEL_EMOJI_MODEL;  // stored in float16
  EXPECT_EQ(open_model(emoji, {.device = "cpu"}).description.dtype, cpu_multiplies_bfloat16() ? "bfloat16" : "float32");
  EXPECT_EQ(open_model(emoji, {.device = "cpu", .dtype = "float32"}).description.dtype, "float32");
}

}  // namespace
}  // namespace easel
