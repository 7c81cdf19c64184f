// Names of the original layout: counting them, and converting the forms of tensors. Whole models are compared with
// diffusers in tests/pipelines/single_file_test.cpp.
#include "weights/stores/original_names.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support.h"
#include "tensor_support.h"
#include "weights/stores/memory_store.h"

namespace easel {
namespace {

using testing::HasSubstr;

NameSet names_of(const std::vector<std::string>& names) {
  std::map<std::string, at::Tensor> tensors;
  for (const auto& name : names) tensors[name] = at::zeros({1});
  return NameSet(MemoryStore(tensors));
}

TEST(NameSet, CountsIndicesAfterAPrefix) {
  const auto names =
      names_of({"a.0.x", "a.2.x", "a.10.x", "a.x.11", "a.12", "a.-13.x", "a.99999999999999999999.x", "b.40.x"});
  EXPECT_EQ(names.count("a."), 11);
  EXPECT_EQ(names.count("c."), 0);
  EXPECT_TRUE(names.has_prefix("a.1"));
  EXPECT_FALSE(names.has_prefix("a.3"));
}

TEST(OriginalUNetLayout, IsInferredFromDownsamplersAndTransformers) {
  const auto layout =
      original_unet_layout(names_of({"u.input_blocks.0.0.weight", "u.input_blocks.1.0.x", "u.input_blocks.2.0.x",
                                     "u.input_blocks.3.0.op.bias", "u.input_blocks.5.1.transformer_blocks.3.x",
                                     "u.input_blocks.5.0.x", "u.middle_block.1.transformer_blocks.1.x"}),
                           "u.");
  EXPECT_EQ(layout.layers_per_block, 2);
  EXPECT_THAT(layout.down_depths, testing::ElementsAre(testing::IsEmpty(), testing::ElementsAre(4, 4)));
  EXPECT_THAT(layout.up_depths, testing::ElementsAre(testing::IsEmpty(), testing::ElementsAre(4, 4, 4)));
  EXPECT_EQ(layout.middle, OriginalUNetLayout::Middle::kAttention);
  EXPECT_EQ(layout.mid_depth, 2);
  const auto empty = original_unet_layout(names_of({"else"}), "u.");
  EXPECT_TRUE(empty.down_depths.empty());
}

TEST(OriginalUNetLayout, LayersThatWereRemovedAreNotExpected) {
  const auto layout = original_unet_layout(
      names_of({"input_blocks.0.0.weight", "input_blocks.1.1.transformer_blocks.0.x", "input_blocks.2.0.op.bias",
                "input_blocks.3.1.transformer_blocks.1.x", "output_blocks.0.1.transformer_blocks.3.x",
                "output_blocks.1.1.transformer_blocks.2.x", "output_blocks.2.1.transformer_blocks.0.x",
                "output_blocks.3.1.transformer_blocks.0.x", "middle_block.0.x"}),
      "");
  EXPECT_THAT(layout.down_depths, testing::ElementsAre(testing::ElementsAre(1), testing::ElementsAre(2)));
  EXPECT_THAT(layout.up_depths, testing::ElementsAre(testing::ElementsAre(1, 1), testing::ElementsAre(4, 3)));
  EXPECT_EQ(layout.middle, OriginalUNetLayout::Middle::kResnet);
  const auto names = original_unet_names(layout, "");
  EXPECT_TRUE(names.contains("up_blocks.0.attentions.1.transformer_blocks.2.norm1.weight"));
  EXPECT_FALSE(names.contains("up_blocks.0.attentions.1.transformer_blocks.3.norm1.weight"));
  EXPECT_TRUE(names.contains("mid_block.resnets.0.conv1.weight"));
  EXPECT_FALSE(names.contains("mid_block.resnets.1.conv1.weight"));
  EXPECT_EQ(original_unet_layout(names_of({"input_blocks.1.0.x"}), "").middle, OriginalUNetLayout::Middle::kNone);
}

TEST(WithDiffusersNames, FusedTensorsAreSplitAndTransposedOnesRestored) {
  const std::string block = "p.transformer.resblocks.0.attn.";
  const auto fused = at::arange(18, at::kFloat).view({6, 3});
  const auto file = std::make_shared<MemoryStore>(std::map<std::string, at::Tensor>{
      {block + "in_proj_weight", fused}, {"p.text_projection", fused}, {"p.logit_scale", fused}});
  const auto store = with_diffusers_names(file, original_open_clip_names(1, "p."));
  EXPECT_EQ(store->names().size(), 4u) << "unknown names are left out";
  const std::string attention = "text_model.encoder.layers.0.self_attn.";
  EXPECT_TRUE(same(store->read(attention + "q_proj.weight"), fused.narrow(0, 0, 2)));
  EXPECT_TRUE(same(store->read(attention + "k_proj.weight"), fused.narrow(0, 2, 2)));
  EXPECT_TRUE(same(store->read(attention + "v_proj.weight"), fused.narrow(0, 4, 2)));
  EXPECT_TRUE(same(store->read("text_projection.weight"), fused.t()));
  EXPECT_EQ(store->find(attention + "q_proj.bias"), nullptr);
  EXPECT_EQ(store->stored_name(attention + "q_proj.bias"), block + "in_proj_bias");
  EXPECT_EQ(store->stored_name("unknown"), "unknown");
  EXPECT_THAT(error_of([&] { store->read("unknown"); }), HasSubstr("not_found"));
}

TEST(WithDiffusersNames, ImpossibleShapesAreRejectedByName) {
  const auto open = [](const std::string& name, at::IntArrayRef shape) {
    const auto file =
        std::make_shared<MemoryStore>(std::map<std::string, at::Tensor>{{name, at::zeros(shape)}}, "x.safetensors");
    return error_of([&] { with_diffusers_names(file, original_open_clip_names(1, "")); });
  };
  EXPECT_THAT(
      open("transformer.resblocks.0.attn.in_proj_weight", {4, 2}),
      HasSubstr(
          "`transformer.resblocks.0.attn.in_proj_weight` is [4, 2] in x.safetensors, expected three equal parts"));
  EXPECT_THAT(open("transformer.resblocks.0.attn.in_proj_bias", {}), HasSubstr("three equal parts"));
  EXPECT_THAT(open("text_projection", {4}), HasSubstr("expected a matrix"));
}

TEST(WithDiffusersNames, AutoencoderAttentionConvolutionsBecomeMatrices) {
  const auto names = original_vae_names({.levels = 1, .layers_per_block = 1}, "");
  for (const auto& shape : {std::vector<std::int64_t>{3, 3, 1, 1}, {3, 3, 1}, {3, 3}}) {
    const auto file = std::make_shared<MemoryStore>(std::map<std::string, at::Tensor>{
        {"decoder.mid.attn_1.proj_out.weight", at::arange(9, at::kFloat).view(shape)}});
    const auto store = with_diffusers_names(file, names);
    EXPECT_TRUE(
        same(store->read("decoder.mid_block.attentions.0.to_out.0.weight"), at::arange(9, at::kFloat).view({3, 3})));
  }
}

}  // namespace
}  // namespace easel
