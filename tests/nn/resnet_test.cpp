#include "nn/unet/resnet.h"

#include <gtest/gtest.h>

#include "block_vectors.h"

namespace easel {
namespace {

ResnetOptions options(std::int64_t out_channels) {
  return {.in_channels = 8, .out_channels = out_channels, .temb_channels = 20, .norm_num_groups = 4, .norm_eps = 1e-5};
}

void expect_parity(const std::string& name, const ResnetOptions& options) {
  testing::BlockVectors block(name);
  const ResnetBlock2D resnet(block.scope(), options);
  const auto x = block.input(0).contiguous(at::MemoryFormat::ChannelsLast);
  const auto before = x.clone();
  const auto output = resnet(x, block.input(1), {});
  block.expect(output);
  EXPECT_TRUE(x.equal(before));
  EXPECT_TRUE(output.is_contiguous(at::MemoryFormat::ChannelsLast));
}

TEST(ResnetBlock2D, AgreesWithDiffusers) {
  expect_parity("resnet", options(12));
}

TEST(ResnetBlock2D, HasNoShortcutConvolutionAtOneWidth) {
  auto same = options(8);
  same.activation = Activation::kMish;
  expect_parity("resnet_same_width", same);
}

TEST(ResnetBlock2D, ScalesAndShifts) {
  auto scaled = options(12);
  scaled.time_embedding_norm = TimeEmbeddingNorm::kScaleShift;
  scaled.activation = Activation::kGelu;
  scaled.output_scale_factor = 1.5;
  expect_parity("resnet_scale_shift", scaled);
}

TEST(ResnetBlock2D, WorksWithoutTimestepEmbedding) {
  auto timeless = options(4);
  timeless.temb_channels = std::nullopt;
  expect_parity("resnet_no_time", timeless);
}

}  // namespace
}  // namespace easel
