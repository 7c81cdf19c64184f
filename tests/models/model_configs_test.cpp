// Which configs are accepted, and how the others are refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/autoencoders/autoencoder_kl.h"
#include "models/text_encoders/clip_text_model.h"
#include "models/unet/unet_2d_condition_config.h"

namespace easel {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

const json kUNet = {{"block_out_channels", {16, 24}},
                    {"norm_num_groups", 4},
                    {"attention_head_dim", 2},
                    {"cross_attention_dim", 12},
                    {"layers_per_block", 1},
                    {"down_block_types", {"CrossAttnDownBlock2D", "DownBlock2D"}},
                    {"up_block_types", {"UpBlock2D", "CrossAttnUpBlock2D"}}};
const json kVae = {{"block_out_channels", {32, 64}},
                   {"down_block_types", {"DownEncoderBlock2D", "DownEncoderBlock2D"}},
                   {"up_block_types", {"UpDecoderBlock2D", "UpDecoderBlock2D"}}};
const json kClip = {{"hidden_size", 24}, {"num_attention_heads", 4}};

json with(json config, const json& changes) {
  config.update(changes);
  return config;
}

template <class ModelConfig>
ModelConfig read(const json& object) {
  Config config(object, "config.json");
  return ModelConfig::from(config);
}

template <class ModelConfig>
void expect_refused(const json& base, const json& changes, ErrorCode code, const std::string& field) {
  try {
    read<ModelConfig>(with(base, changes));
    FAIL() << changes << " was accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_THAT(error.what(), HasSubstr("`" + field + "`")) << changes;
  }
}

constexpr auto kCorrupt = ErrorCode::kCorruptData;
constexpr auto kUnsupported = ErrorCode::kUnsupported;

TEST(UNet2DConditionConfig, RejectsUnsupportedFieldsByName) {
  const auto refused = [](const char* field, const json& value) {
    expect_refused<UNet2DConditionConfig>(kUNet, {{field, value}}, kUnsupported, field);
  };
  refused("down_block_types", {"SimpleCrossAttnDownBlock2D", "DownBlock2D"});
  refused("up_block_types", {"UpBlock2D", "AttnUpBlock2D"});
  refused("mid_block_type", "UNetMidBlock2DSimpleCrossAttn");
  refused("dual_cross_attention", true);
  refused("attention_type", "gated");
  refused("num_attention_heads", 4);
  refused("encoder_hid_dim", 12);
  refused("encoder_hid_dim_type", "text_proj");
  refused("act_fn", "tanh");
  refused("timestep_post_act", "tanh");
  refused("time_embedding_act_fn", "tanh");
  refused("norm_num_groups", nullptr);
  refused("resnet_time_scale_shift", "spatial");
  refused("time_embedding_type", "learned");
  refused("class_embed_type", "text");
  refused("addition_embed_type", "image");
  refused("a_field_of_tomorrow", 1);
}

TEST(UNet2DConditionConfig, RejectsContradictoryFieldsByName) {
  const auto refused = [](const char* field, const json& changes) {
    expect_refused<UNet2DConditionConfig>(kUNet, changes, kCorrupt, field);
  };
  refused("down_block_types", {{"down_block_types", json::array()}});
  refused("down_block_types", {{"down_block_types", std::vector<std::string>(17, "DownBlock2D")}});
  refused("up_block_types", {{"up_block_types", {"UpBlock2D"}}});
  refused("block_out_channels", {{"block_out_channels", {16, 24, 32}}});
  refused("block_out_channels", {{"block_out_channels", {16, 0}}});
  refused("block_out_channels", {{"block_out_channels", {16, 1 << 20}}});
  refused("block_out_channels", {{"norm_num_groups", 5}});
  refused("norm_num_groups", {{"norm_num_groups", 0}});
  refused("layers_per_block", {{"layers_per_block", {1, 2, 3}}});
  refused("layers_per_block", {{"layers_per_block", 0}});
  refused("layers_per_block", {{"layers_per_block", 1000000000}});
  refused("attention_head_dim", {{"attention_head_dim", {1, 2, 3}}});
  refused("attention_head_dim", {{"attention_head_dim", 17}});
  refused("attention_head_dim", {{"attention_head_dim", 0}});
  refused("cross_attention_dim", {{"cross_attention_dim", {12}}});
  refused("only_cross_attention", {{"only_cross_attention", {true}}});
  refused("only_cross_attention", {{"only_cross_attention", "yes"}});
  refused("transformer_layers_per_block", {{"transformer_layers_per_block", {1}}});
  refused("transformer_layers_per_block", {{"transformer_layers_per_block", {1, -1}}});
  refused("transformer_layers_per_block", {{"transformer_layers_per_block", {1, "2"}}});
  refused("transformer_layers_per_block", {{"transformer_layers_per_block", 100000}});
  refused("transformer_layers_per_block", {{"transformer_layers_per_block", {{1}, {2}}}});
  refused("transformer_layers_per_block",
          {{"transformer_layers_per_block", {json::array(), {2}}}, {"reverse_transformer_layers_per_block", {1, 1}}});
  refused("reverse_transformer_layers_per_block", {{"reverse_transformer_layers_per_block", {{1}, {1, 1}}}});
  refused("reverse_transformer_layers_per_block", {{"reverse_transformer_layers_per_block", {1, 1, 1}}});
  refused("in_channels", {{"in_channels", 0}});
  refused("out_channels", {{"out_channels", -4}});
  refused("conv_in_kernel", {{"conv_in_kernel", 0}});
  refused("conv_out_kernel", {{"conv_out_kernel", 99}});
  refused("downsample_padding", {{"downsample_padding", 2}});
  refused("sample_size", {{"sample_size", {64, 64, 64}}});
  refused("time_embedding_dim", {{"time_embedding_type", "fourier"}, {"time_embedding_dim", 7}});
  refused("time_cond_proj_dim", {{"time_cond_proj_dim", 0}});
  refused("class_embed_type", {{"class_embed_type", "projection"}});
  refused("class_embed_type", {{"class_embed_type", "simple_projection"}});
  refused("class_embeddings_concat", {{"class_embeddings_concat", true}});
  refused("addition_embed_type", {{"addition_embed_type", "text_time"}});
  refused("addition_embed_type", {{"addition_embed_type", "text_time"}, {"addition_time_embed_dim", 8}});
  refused("addition_embed_type",
          {{"addition_embed_type", "text"}, {"num_class_embeds", 3}, {"class_embeddings_concat", true}});
  refused("addition_embed_type_num_heads", {{"addition_embed_type", "text"}, {"addition_embed_type_num_heads", 5}});
  refused("cross_attention_dim", {{"addition_embed_type", "text"}, {"cross_attention_dim", {12, 12}}});
}

TEST(UNet2DConditionConfig, AcceptsScalarOrPerLevelList) {
  const auto c = read<UNet2DConditionConfig>(with(kUNet, {{"sample_size", {24, 32}},
                                                          {"layers_per_block", {1, 3}},
                                                          {"attention_head_dim", {2, 6}},
                                                          {"transformer_layers_per_block", {4, 5}},
                                                          {"only_cross_attention", {true, false}}}));
  ASSERT_EQ(c.levels.size(), 2u);
  EXPECT_EQ(c.sample_size, (std::array<std::int64_t, 2>{24, 32}));
  EXPECT_EQ(c.levels[1].layers, 3);
  EXPECT_EQ(c.levels[1].heads, 6);
  EXPECT_EQ(c.levels[0].cross_attention_dim, 12);
  EXPECT_EQ(c.levels[0].up_transformer_layers, (std::vector<std::int64_t>{4, 4}));
  EXPECT_EQ(c.mid_transformer_layers, 5);
  EXPECT_TRUE(c.levels[0].only_cross_attention);
  EXPECT_TRUE(c.levels[0].down_attention && c.levels[0].up_attention);
  EXPECT_FALSE(c.levels[1].down_attention || c.levels[1].up_attention);
  EXPECT_EQ(read<UNet2DConditionConfig>(with(kUNet, {{"sample_size", 8}})).sample_size,
            (std::array<std::int64_t, 2>{8, 8}));
}

TEST(UNet2DConditionConfig, MidBlockTypeNullIsNotTheDefault) {
  EXPECT_EQ(read<UNet2DConditionConfig>(kUNet).mid_block_type, UNetMidBlockType::kCrossAttention);
  EXPECT_EQ(read<UNet2DConditionConfig>(with(kUNet, {{"mid_block_type", nullptr}})).mid_block_type,
            UNetMidBlockType::kNone);
}

TEST(AutoencoderKLConfig, RejectsFieldsByName) {
  const auto refused = [](const char* field, const json& value, ErrorCode code) {
    expect_refused<AutoencoderKLConfig>(kVae, {{field, value}}, code, field);
  };
  refused("down_block_types", {"DownEncoderBlock2D", "AttnDownEncoderBlock2D"}, kUnsupported);
  refused("up_block_types", {"UpDecoderBlock2D", "UpBlock2D"}, kUnsupported);
  refused("act_fn", "tanh", kUnsupported);
  refused("a_field_of_tomorrow", true, kUnsupported);
  refused("down_block_types", {"DownEncoderBlock2D"}, kCorrupt);
  refused("up_block_types", {"UpDecoderBlock2D"}, kCorrupt);
  refused("block_out_channels", {32, 48}, kCorrupt);
  refused("block_out_channels", {32, -64}, kCorrupt);
  refused("norm_num_groups", 0, kCorrupt);
  refused("layers_per_block", 0, kCorrupt);
  refused("latent_channels", 0, kCorrupt);
  refused("latents_mean", {1, 2, 3}, kCorrupt);
  refused("latents_std", {1, 2, 3}, kCorrupt);
  refused("scaling_factor", 0, kCorrupt);
  EXPECT_EQ(read<AutoencoderKLConfig>(kVae).scale(), 2);
}

TEST(CLIPTextConfig, RejectsFieldsByName) {
  const auto refused = [](const char* field, const json& value, ErrorCode code) {
    expect_refused<CLIPTextConfig>(kClip, {{field, value}}, code, field);
  };
  refused("model_type", "t5", kUnsupported);
  refused("architectures", {"T5EncoderModel"}, kUnsupported);
  refused("hidden_act", "gelu_new", kUnsupported);
  refused("is_causal", false, kUnsupported);
  refused("use_attention_mask", true, kUnsupported);
  refused("num_attention_heads", 5, kCorrupt);
  refused("num_attention_heads", 0, kCorrupt);
  refused("hidden_size", 0, kCorrupt);
  refused("vocab_size", -1, kCorrupt);
  refused("num_hidden_layers", 100000, kCorrupt);
  refused("eos_token_id", {1, 2}, kCorrupt);
}

}  // namespace
}  // namespace easel
