#include "adapters/layer_names.h"

#include <gtest/gtest.h>

namespace easel {
namespace {

/// A layer table with a UNet's names: each level has this many resnets on the way down, and one more on the way up.
std::shared_ptr<LayerTable> unet(const std::vector<bool>& attends, int layers) {
  auto table = std::make_shared<LayerTable>();
  table->component = Component::kUnet;
  const auto add = [&](const std::string& name) { table->add(name, {1, 1}); };
  const auto level = [&](const std::string& block, int count, bool attention) {
    for (int i = 0; i < count; ++i) {
      const auto index = std::to_string(i);
      add(block + ".resnets." + index + ".conv1");
      add(block + ".resnets." + index + ".time_emb_proj");
      if (attention) add(block + ".attentions." + index + ".transformer_blocks.0.attn1.to_out.0");
    }
  };
  const auto n = static_cast<int>(attends.size());
  for (int b = 0; b < n; ++b) {
    const auto down = "down_blocks." + std::to_string(b), up = "up_blocks." + std::to_string(b);
    level(down, layers, attends[b]);
    level(up, layers + 1, attends[n - 1 - b]);
    if (b + 1 < n) add(down + ".downsamplers.0.conv");
    if (b + 1 < n) add(up + ".upsamplers.0.conv");
  }
  for (const char* name : {"mid_block.resnets.0.conv1", "mid_block.resnets.1.conv2", "mid_block.attentions.0.proj_in",
                           "conv_in", "conv_out", "time_embedding.linear_1", "add_embedding.linear_2"}) {
    add(name);
  }
  return table;
}

struct Pair {
  const char* diffusers;
  const char* original;
};

// As in the published checkpoints of SD 1.5 and SDXL.
TEST(OriginalUNetName, MatchesSd15) {
  const auto table = unet({true, true, true, false}, 2);
  for (const auto& [diffusers, original] : std::vector<Pair>{
           {"conv_in", "input_blocks.0.0"},
           {"down_blocks.0.resnets.1.conv1", "input_blocks.2.0.in_layers.2"},
           {"down_blocks.0.downsamplers.0.conv", "input_blocks.3.0.op"},
           {"down_blocks.2.attentions.0.transformer_blocks.0.attn1.to_out.0",
            "input_blocks.7.1.transformer_blocks.0.attn1.to_out.0"},
           {"down_blocks.3.resnets.1.time_emb_proj", "input_blocks.11.0.emb_layers.1"},
           {"mid_block.resnets.1.conv2", "middle_block.2.out_layers.3"},
           {"mid_block.attentions.0.proj_in", "middle_block.1.proj_in"},
           {"up_blocks.0.upsamplers.0.conv", "output_blocks.2.1.conv"},
           {"up_blocks.1.attentions.0.transformer_blocks.0.attn1.to_out.0",
            "output_blocks.3.1.transformer_blocks.0.attn1.to_out.0"},
           {"up_blocks.2.upsamplers.0.conv", "output_blocks.8.2.conv"},
           {"up_blocks.3.resnets.2.conv1", "output_blocks.11.0.in_layers.2"},
           {"conv_out", "out.2"},
       }) {
    EXPECT_EQ(original_unet_name(diffusers, *table), original);
  }
}

TEST(OriginalUNetName, MatchesSdxl) {
  const auto table = unet({false, true, true}, 2);
  for (const auto& [diffusers, original] : std::vector<Pair>{
           {"down_blocks.1.attentions.0.proj_in", "input_blocks.4.1.proj_in"},
           {"down_blocks.2.resnets.1.conv_shortcut", "input_blocks.8.0.skip_connection"},
           {"up_blocks.0.upsamplers.0.conv", "output_blocks.2.2.conv"},
           {"up_blocks.1.upsamplers.0.conv", "output_blocks.5.2.conv"},
           {"up_blocks.2.resnets.2.conv1", "output_blocks.8.0.in_layers.2"},
           {"time_embedding.linear_2", "time_embed.2"},
           {"add_embedding.linear_1", "label_emb.0.0"},
       }) {
    EXPECT_EQ(original_unet_name(diffusers, *table), original);
  }
  EXPECT_EQ(original_unet_name("encoder_hid_proj", *table), "");
}

TEST(LayerNames, FindEveryNamingStyle) {
  const auto table = unet({true, true}, 1);
  auto encoder = std::make_shared<LayerTable>(), second = std::make_shared<LayerTable>();
  encoder->component = Component::kTextEncoder;
  encoder->add("encoder.layers.0.self_attn.out_proj", {1, 1});
  second->component = Component::kTextEncoder2;
  second->add("text_model.encoder.layers.0.self_attn.q_proj", {1, 1});
  second->add("text_projection", {1, 1});
  const LayerNames names({table, encoder, second});
  const auto layer = [&](const std::string& name) -> std::string {
    const auto* ref = names.find(name);
    return ref == nullptr ? "" : component_name(*ref->model->component) + ": " + ref->slot->name;
  };
  const std::string to_out = "unet: down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_out.0";
  for (const char* name : {"down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_out.0",
                           "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_out.0",
                           "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.processor.to_out",
                           "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_out_0",
                           "lora_unet_input_blocks_3_1_transformer_blocks_0_attn1_to_out_0",
                           "lycoris_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_out_0",
                           "unet.input_blocks.3.1.transformer_blocks.0.attn1.to_out.0",
                           "diffusion_model.input_blocks.3.1.transformer_blocks.0.attn1.to_out.0"}) {
    EXPECT_EQ(layer(name), to_out) << name;
  }
  for (const char* name :
       {"text_encoder.text_model.encoder.layers.0.self_attn.out_proj",
        "text_encoder.encoder.layers.0.self_attn.out_proj", "text_encoder.text_model.encoder.layers.0.self_attn.to_out",
        "lora_te_text_model_encoder_layers_0_self_attn_out_proj",
        "lora_te1_text_model_encoder_layers_0_self_attn_out_proj",
        "clip_l.text_model.encoder.layers.0.self_attn.out_proj",
        "text_encoders.clip_l.transformer.text_model.encoder.layers.0.self_attn.out_proj",
        "text_encoders.clip_h.transformer.text_model.encoder.layers.0.self_attn.out_proj"}) {
    EXPECT_EQ(layer(name), "text_encoder: encoder.layers.0.self_attn.out_proj") << name;
  }
  EXPECT_EQ(layer("lora_te2_text_model_encoder_layers_0_self_attn_q_proj"),
            "text_encoder_2: text_model.encoder.layers.0.self_attn.q_proj");
  EXPECT_EQ(layer("lora_te2_text_projection"), "text_encoder_2: text_projection");
  EXPECT_EQ(layer("clip_g.text_model.encoder.layers.0.self_attn.q_proj"),
            "text_encoder_2: text_model.encoder.layers.0.self_attn.q_proj");
  EXPECT_EQ(layer("text_encoders.clip_g.transformer.text_projection"), "text_encoder_2: text_projection");
  for (const char* name : {"", "unet", "lora_te2_text_model_encoder_layers_0_self_attn_out_proj",
                           "unet.down_blocks.7.resnets.0.conv1", "text_encoder_3.encoder.layers.0.self_attn.q_proj"}) {
    EXPECT_EQ(layer(name), "") << name;
  }
}

}  // namespace
}  // namespace easel
