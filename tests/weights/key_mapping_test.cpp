#include "weights/stores/key_mapping.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/ones.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support.h"
#include "tensor_support.h"
#include "weights/stores/component_store.h"
#include "weights/stores/memory_store.h"

namespace easel {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::shared_ptr<const TensorStore> vae(const std::string& folder) {
  return open_component(reference(folder), "diffusion_pytorch_model");
}

std::shared_ptr<const TensorStore> store_of(const std::vector<std::string>& names, at::IntArrayRef shape = {2}) {
  std::map<std::string, at::Tensor> tensors;
  for (const auto& name : names) tensors[name] = at::ones(shape);
  return std::make_shared<MemoryStore>(tensors);
}

TEST(AttentionNames, OldVaeNamesReadAsNewOnes) {
  EXPECT_NE(vae("old_vae")->find("decoder.mid_block.attentions.0.proj_attn.bias"), nullptr);
  expect_same_tensors(*with_attention_names(vae("old_vae")), *vae("single"));
  EXPECT_EQ(vae("convolution_vae")->find("encoder.mid_block.attentions.0.query.weight")->shape.size(), 4u);
  expect_same_tensors(*with_attention_names(vae("convolution_vae")), *vae("single"));
}

TEST(AttentionNames, OtherNamesAreUnchanged) {
  const auto plain = vae("single");
  EXPECT_EQ(with_attention_names(plain), plain);
  const auto others = store_of(
      {"query.weight", "my_attentions.0.query.weight", "attentions.x.query.weight", "attentions.0.query_norm.weight",
       "attentions.0.transformer_blocks.0.key.weight", "attentions.", "attentions.0"},
      {2, 2, 1, 1});
  EXPECT_EQ(with_attention_names(others), others);
  const auto convolution = store_of({"attentions.0.to_q.bias", "attentions.0.proj_in.weight"}, {2, 2, 1, 1});
  EXPECT_EQ(with_attention_names(convolution), convolution);
}

TEST(AttentionNames, ReleaseAndMessagesUseSourceNames) {
  const auto renamed = with_attention_names(vae("old_vae"));
  EXPECT_EQ(renamed->where(), reference("old_vae/diffusion_pytorch_model.safetensors"));
  EXPECT_EQ(renamed->find("decoder.mid_block.attentions.0.query.bias"), nullptr);
  EXPECT_THAT(error_of([&] { renamed->read("decoder.mid_block.attentions.0.query.bias"); }),
              HasSubstr("has no tensor"));
  const auto before = renamed->read("decoder.mid_block.attentions.0.to_out.0.weight").clone();
  renamed->release("decoder.mid_block.attentions.0.to_out.0.weight");
  EXPECT_TRUE(same(renamed->read("decoder.mid_block.attentions.0.to_out.0.weight"), before));
}

TEST(AttentionNames, DuplicateNamesAreRejected) {
  EXPECT_EQ(
      error_of([] { with_attention_names(store_of({"attentions.0.query.bias", "attentions.0.to_q.bias"})); }),
      "corrupt_data: memory: `attentions.0.query.bias` and `attentions.0.to_q.bias` are the same tensor under an old "
      "and a new name");
}

TEST(ClipTextNames, BothSpellingsMapToThePublishedNames) {
  const auto saved = open_component(reference("text_encoder"), "model");  // transformers 5: without the prefix
  EXPECT_NE(saved->find("final_layer_norm.bias"), nullptr);
  const auto renamed = with_clip_text_names(saved);
  ASSERT_EQ(renamed->names().size(), saved->names().size());
  for (const auto& name : saved->names())
    EXPECT_TRUE(same(renamed->read("text_model." + name), saved->read(name))) << name;
  EXPECT_EQ(with_clip_text_names(renamed), renamed);
}

TEST(ClipTextNames, ProjectionNameIsUnchanged) {
  const auto renamed = with_clip_text_names(
      store_of({"embeddings.position_ids", "encoder.layers.0.layer_norm1.bias", "text_projection.weight"}));
  EXPECT_THAT(renamed->names(), ElementsAre("text_model.embeddings.position_ids",
                                            "text_model.encoder.layers.0.layer_norm1.bias", "text_projection.weight"));
}

}  // namespace
}  // namespace easel
