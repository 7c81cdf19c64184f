#include "checkpoints/single_file_configs.h"

#include <algorithm>
#include <vector>

#include "core/text.h"
#include "easel/error.h"
#include "weights/format/message_format.h"

namespace easel {
namespace {

using nlohmann::json;

constexpr std::int64_t kHeadSize = 64;  // of all attention layers, except in the UNets of SD 1.x and the upscaler,
constexpr std::int64_t kLegacyHeadCount = 8;  // which have this many heads whatever their width

const TensorInfo& info_of(const TensorStore& file, const std::string& name, std::size_t dimensions) {
  const auto* info = file.find(name);
  if (info == nullptr) {
    throw Error(ErrorCode::kCorruptData, concat(file.where(), ": tensor ", quote_name(name), " is missing"));
  }
  if (info->shape.size() != dimensions) {
    throw Error(ErrorCode::kCorruptData, concat(file.where(), ": tensor ", quote_name(name), " is ",
                                                format_shape(info->shape), ", expected ", dimensions, " dimensions"));
  }
  return *info;
}

std::int64_t heads_of(const TensorStore& file, const std::string& what, std::int64_t channels) {
  if (channels % kHeadSize != 0 || channels == 0) {
    throw Error(ErrorCode::kUnsupported,
                concat(file.where(), ": ", what, " has ", channels, " channels, which is not a multiple of ", kHeadSize,
                       ", so that the number of attention heads is unknown; name a folder with the configs ",
                       "as `configs` in the manifest"));
  }
  return channels / kHeadSize;
}

/// The first block of an attention level's transformers.
std::string first_transformer(const OriginalUNetLayout& layout, std::size_t level) {
  const auto block = 1 + static_cast<std::int64_t>(level) * (layout.layers_per_block + 1);
  return concat(kUNetPrefix, "input_blocks.", block, ".1.");
}

/// The first level with attention, if any.
std::optional<std::size_t> attention_level(const OriginalUNetLayout& layout) {
  const auto& depths = layout.down_depths;
  const auto found = std::find_if(depths.begin(), depths.end(), [](const auto& level) { return !level.empty(); });
  if (found == depths.end()) return std::nullopt;
  return static_cast<std::size_t>(found - depths.begin());
}

void add_attention(const TensorStore& file, const OriginalUNetLayout& layout, const std::vector<std::int64_t>& channels,
                   json& config) {
  const auto level = attention_level(layout);
  if (!level)
    throw Error(ErrorCode::kUnsupported, file.where() + ": the UNet has no attention except in its middle block");
  const auto first = first_transformer(layout, *level);
  config["cross_attention_dim"] = info_of(file, first + "transformer_blocks.0.attn2.to_k.weight", 2).shape[1];
  std::vector<bool> attends_to_prompt;
  for (std::size_t i = 0; i < channels.size(); ++i) {
    const auto* keys = file.find(first_transformer(layout, i) + "transformer_blocks.0.attn1.to_k.weight");
    attends_to_prompt.push_back(keys != nullptr && keys->shape.size() == 2 && keys->shape[1] != channels[i]);
  }
  if (std::find(attends_to_prompt.begin(), attends_to_prompt.end(), true) != attends_to_prompt.end()) {
    config["only_cross_attention"] = attends_to_prompt;
  }
  const auto* projection = file.find(first + "proj_in.weight");
  const bool linear = projection != nullptr && projection->shape.size() == 2;
  config["use_linear_projection"] = linear;
  if (!linear || config.contains("num_class_embeds")) {
    config["attention_head_dim"] = kLegacyHeadCount;
    return;
  }
  std::vector<std::int64_t> heads;
  for (const auto count : channels) heads.push_back(heads_of(file, "the UNet", count));
  config["attention_head_dim"] = heads;
}

/// Whether all transformers of each level are of one depth, as in models that no layers were removed from.
bool has_even_depths(const OriginalUNetLayout& layout) {
  for (std::size_t level = 0; level < layout.down_depths.size(); ++level) {
    const auto& down = layout.down_depths[level];
    for (const auto* depths : {&down, &layout.up_depths[level]}) {
      if (std::any_of(depths->begin(), depths->end(), [&](auto depth) { return depth != down[0]; })) return false;
    }
  }
  return true;
}

/// Adds the depths of the transformers, and the kind of the middle block where it is not the usual one.
void add_depths(const OriginalUNetLayout& layout, json& config) {
  const bool even = has_even_depths(layout);
  auto down = json::array(), up = json::array();
  for (std::size_t level = 0; level < layout.down_depths.size(); ++level) {
    const auto& depths = layout.down_depths[level];
    down.push_back(depths.empty() ? json(1) : even ? json(depths[0]) : json(depths));
    up.insert(up.begin(), depths.empty() ? json(1) : json(layout.up_depths[level]));
  }
  // The middle block has the depth that is given for the last level, even if that level has no attention.
  if (layout.down_depths.back().empty()) down.back() = std::max<std::int64_t>(1, layout.mid_depth);
  config["transformer_layers_per_block"] = down;
  if (!even) config["reverse_transformer_layers_per_block"] = up;
  if (layout.middle == OriginalUNetLayout::Middle::kResnet) config["mid_block_type"] = "UNetMidBlock2D";
  if (layout.middle == OriginalUNetLayout::Middle::kNone) config["mid_block_type"] = nullptr;
}

/// Adds what the upscaler (a class for each noise level) and SDXL add to the timestep's embedding.
void add_conditions(const TensorStore& file, json& config) {
  const auto classes = concat(kUNetPrefix, kClassEmbedding);
  if (file.find(classes) != nullptr) config["num_class_embeds"] = info_of(file, classes, 2).shape[0];
  const auto name = concat(kUNetPrefix, "label_emb.0.0.weight");
  if (file.find(name) == nullptr) return;
  config["addition_embed_type"] = "text_time";
  config["addition_time_embed_dim"] = 256;
  config["projection_class_embeddings_input_dim"] = info_of(file, name, 2).shape[1];
}

json vae_fields(const std::vector<std::int64_t>& channels, std::int64_t layers_per_block, const VaeTraits& traits) {
  return {{"_class_name", "AutoencoderKL"},
          {"layers_per_block", layers_per_block},
          {"block_out_channels", channels},
          {"down_block_types", std::vector<std::string>(channels.size(), "DownEncoderBlock2D")},
          {"up_block_types", std::vector<std::string>(channels.size(), "UpDecoderBlock2D")},
          {"scaling_factor", traits.scaling_factor},
          {"force_upcast", traits.force_upcast},
          {"sample_size", traits.sample_size}};
}

}  // namespace

std::optional<std::string> find_vae(const NameSet& names) {
  for (const char* prefix : {"first_stage_model.", "vae.", ""}) {
    if (names.has_prefix(concat(prefix, "encoder.down."))) return prefix;
  }
  return std::nullopt;
}

std::optional<OriginalTextEncoder> find_text_encoder(const NameSet& names, const std::string& scope,
                                                     std::int64_t max_layers) {
  const auto layers = [&](const std::string& prefix) {
    return std::clamp<std::int64_t>(names.count(prefix), 1, max_layers);
  };
  const std::string hugging = scope.empty() ? "" : scope + "transformer.";
  for (const auto& prefix : {hugging + "text_model.", hugging}) {
    if (!names.has_prefix(prefix + "encoder.layers.")) continue;
    return OriginalTextEncoder{.prefix = prefix,
                               .projection = hugging + "text_projection.weight",
                               .layers = layers(prefix + "encoder.layers.")};
  }
  const std::string open = scope.empty() ? "" : scope + "model.";
  if (!names.has_prefix(open + "transformer.resblocks.")) return std::nullopt;
  return OriginalTextEncoder{.open_clip = true,
                             .prefix = open,
                             .projection = open + "text_projection",
                             .layers = layers(open + "transformer.resblocks.")};
}

OriginalNames names_of(const OriginalTextEncoder& encoder) {
  return encoder.open_clip ? original_open_clip_names(encoder.layers, encoder.prefix)
                           : original_clip_names(encoder.layers, encoder.prefix, encoder.projection);
}

json unet_config_of(const TensorStore& file, const OriginalUNetLayout& layout, std::int64_t sample_size) {
  const std::string prefix = kUNetPrefix;
  if (layout.down_depths.empty()) throw Error(ErrorCode::kCorruptData, file.where() + ": the UNet has no levels");
  std::vector<std::int64_t> channels;
  std::vector<std::string> down, up;
  for (std::size_t level = 0; level < layout.down_depths.size(); ++level) {
    const auto block = 1 + static_cast<std::int64_t>(level) * (layout.layers_per_block + 1);
    channels.push_back(info_of(file, concat(prefix, "input_blocks.", block, ".0.in_layers.2.weight"), 4).shape[0]);
    const bool attention = !layout.down_depths[level].empty();
    down.push_back(attention ? "CrossAttnDownBlock2D" : "DownBlock2D");
    up.insert(up.begin(), attention ? "CrossAttnUpBlock2D" : "UpBlock2D");
  }
  json config{{"_class_name", "UNet2DConditionModel"},
              {"sample_size", sample_size},
              {"in_channels", info_of(file, prefix + "input_blocks.0.0.weight", 4).shape[1]},
              {"out_channels", info_of(file, prefix + "out.2.weight", 4).shape[0]},
              {"layers_per_block", layout.layers_per_block},
              {"block_out_channels", channels},
              {"down_block_types", down},
              {"up_block_types", up}};
  add_depths(layout, config);
  add_conditions(file, config);
  add_attention(file, layout, channels, config);
  return config;
}

json vae_config_of(const TensorStore& file, const OriginalVaeLayout& layout, const std::string& prefix,
                   const VaeTraits& traits) {
  std::vector<std::int64_t> channels;
  for (std::int64_t level = 0; level < layout.levels; ++level) {
    const auto name = concat(prefix, "encoder.down.", level, ".block.0.conv1.weight");
    channels.push_back(info_of(file, name, 4).shape[0]);
  }
  auto config = vae_fields(channels, layout.layers_per_block, traits);
  config["in_channels"] = info_of(file, prefix + "encoder.conv_in.weight", 4).shape[1];
  config["out_channels"] = info_of(file, prefix + "decoder.conv_out.weight", 4).shape[0];
  config["latent_channels"] = info_of(file, prefix + "decoder.conv_in.weight", 4).shape[1];
  return config;
}

json published_vae_config(const VaeTraits& traits) {
  return vae_fields({128, 256, 512, 512}, /*layers_per_block=*/2, traits);
}

json text_config_of(const TensorStore& file, const OriginalTextEncoder& encoder, const std::string& hidden_act) {
  const auto names = names_of(encoder);
  const auto shape = [&](const std::string& name) {
    return info_of(file, names.at("text_model." + name).name, 2).shape;
  };
  const auto tokens = shape("embeddings.token_embedding.weight");
  const auto hidden_size = tokens[1];
  const auto* projection = file.find(encoder.projection);
  const bool projected = projection != nullptr && projection->shape.size() == 2;
  return {{"model_type", "clip_text_model"},
          {"vocab_size", tokens[0]},
          {"hidden_size", hidden_size},
          {"intermediate_size", shape("encoder.layers.0.mlp.fc1.weight")[0]},
          {"projection_dim", projected ? projection->shape[encoder.open_clip ? 1 : 0] : hidden_size},
          {"num_hidden_layers", encoder.layers},
          {"num_attention_heads", heads_of(file, "a text encoder", hidden_size)},
          {"max_position_embeddings", shape("embeddings.position_embedding.weight")[0]},
          {"hidden_act", hidden_act},
          // As in the published configs: the end of a text is its token with the largest id.
          {"eos_token_id", 2}};
}

}  // namespace easel
