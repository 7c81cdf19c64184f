#include "models/unet/unet_2d_condition_config.h"

#include <algorithm>

#include "core/text.h"
#include "models/config_reading.h"

namespace easel {
namespace {

using nlohmann::json;
using Counts = std::vector<std::int64_t>;

constexpr std::int64_t kMaxKernel = 31;
constexpr std::int64_t kMaxClasses = 1 << 22;
constexpr std::int64_t kKGroupSize = 32;

// diffusers drops this prefix of old configs.
std::string block_name(const std::string& name) {
  return name.starts_with("UNetRes") ? name.substr(7) : name;
}

struct BlockTypes {
  std::vector<bool> attention;
  bool k_blocks = false;
};

BlockTypes read_block_types(Config& config, const std::string& key, const std::string& plain,
                            const std::string& attention, std::vector<std::string> fallback) {
  BlockTypes types;
  const auto names = get_names(config, key, std::move(fallback));
  types.k_blocks = names[0] == "K" + plain || names[0] == "K" + attention;
  const std::string prefix = types.k_blocks ? "K" : "";
  for (const auto& full_name : names) {
    const auto name = block_name(full_name);
    if (name != prefix + plain && name != prefix + attention) {
      throw unsupported_field(config, key,
                              concat("names `", full_name, "`; easel supports ", plain, " and ", attention, ", or K",
                                     plain, " and K", attention));
    }
    types.attention.push_back(name == prefix + attention);
  }
  return types;
}

UNetMidBlockType read_mid_block_type(Config& config) {
  // An absent field means the default; null means that there is no middle block.
  if (config.object().contains("mid_block_type") && config.raw("mid_block_type").is_null()) {
    return UNetMidBlockType::kNone;
  }
  const auto name = config.get<std::string>("mid_block_type", "UNetMidBlock2DCrossAttn");
  if (name == "UNetMidBlock2DCrossAttn") return UNetMidBlockType::kCrossAttention;
  if (name == "UNetMidBlock2D") return UNetMidBlockType::kResnet;
  throw unsupported_field(config, "mid_block_type",
                          "is not supported; easel supports UNetMidBlock2DCrossAttn, UNetMidBlock2D, null");
}

std::int64_t as_count(const Config& config, const std::string& key, const json& value) {
  if (!value.is_number_integer()) throw invalid_field(config, key, "holds something else than integers");
  const auto count = value.get<std::int64_t>();
  check_range(config, key, count, 0, kMaxLayers);
  return count;
}

// One number for all layers of a block, or a list with at least one for each.
Counts per_layer(const Config& config, const std::string& key, const json& value, std::size_t layers) {
  if (!value.is_array()) return Counts(layers, as_count(config, key, value));
  if (value.size() < layers) {
    throw invalid_field(config, key, concat("gives a block ", value.size(), " numbers, expected ", layers));
  }
  Counts counts;
  for (std::size_t i = 0; i < layers; ++i) counts.push_back(as_count(config, key, value[i]));
  return counts;
}

// The entry for a level of a field that is one number, or a list whose entries are numbers or lists.
json entry(const Config& config, const std::string& key, const json& value, std::size_t index, std::size_t levels) {
  if (!value.is_array()) return value;
  if (value.size() != levels)
    throw invalid_field(config, key, concat("has ", value.size(), " entries, expected ", levels));
  return value[index];
}

void read_transformer_layers(Config& config, UNet2DConditionConfig& c) {
  const std::string key = "transformer_layers_per_block", reverse_key = "reverse_transformer_layers_per_block";
  const json down = config.has(key) ? config.raw(key) : json(1);
  const json reverse = config.raw(reverse_key);
  config.ignore({key});
  const auto n = c.levels.size();
  for (std::size_t i = 0; i < n; ++i) {
    auto& level = c.levels[i];
    const auto counts = entry(config, key, down, i, n);
    if (counts.is_array() && reverse.is_null()) {
      throw invalid_field(config, key, "holds lists, which needs `reverse_transformer_layers_per_block`");
    }
    const auto layers = static_cast<std::size_t>(level.layers);
    level.down_transformer_layers = per_layer(config, key, counts, layers);
    level.up_transformer_layers =
        reverse.is_null()
            ? per_layer(config, key, counts, layers + 1)
            : per_layer(config, reverse_key, entry(config, reverse_key, reverse, n - 1 - i, n), layers + 1);
  }
  c.mid_transformer_layers = per_layer(config, key, entry(config, key, down, n - 1, n), 1)[0];
}

std::vector<bool> read_only_cross_attention(Config& config, std::size_t levels) {
  // The middle blocks of these types do not use it.
  config.ignore({"mid_block_only_cross_attention"});
  return config.get_list<bool>("only_cross_attention", levels, false);
}

void read_norm_groups(Config& config, const Counts& channels, UNet2DConditionConfig& c) {
  const bool none = config.object().contains("norm_num_groups") && !config.has("norm_num_groups");
  if (!none) return check_groups(config, channels, c.norm_num_groups);
  if (!c.k_blocks) {
    throw unsupported_field(config, "norm_num_groups", "is not supported with these blocks; easel supports a number");
  }
  c.norm_num_groups = 0;
}

void read_levels(Config& config, UNet2DConditionConfig& c) {
  const auto down =
      read_block_types(config, "down_block_types", "DownBlock2D", "CrossAttnDownBlock2D",
                       {"CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"});
  const auto up = read_block_types(config, "up_block_types", "UpBlock2D", "CrossAttnUpBlock2D",
                                   {"UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"});
  const auto n = down.attention.size();
  c.k_blocks = down.k_blocks;
  const auto channels = config.get<Counts>("block_out_channels", {320, 640, 1280, 1280});
  if (up.attention.size() != n)
    throw invalid_field(config, "up_block_types", concat("has ", up.attention.size(), " entries, expected ", n));
  if (up.k_blocks != down.k_blocks) throw unsupported_field(config, "up_block_types", "mixes K-blocks with others");
  if (channels.size() != n) {
    throw invalid_field(config, "block_out_channels", concat("has ", channels.size(), " entries, expected ", n));
  }
  const auto layers = get_list_in_range(config, "layers_per_block", n, 2, 1, kMaxLayers);
  // The JSON's name is a historical mistake (diffusers issue 2011): it has always been the number of heads.
  const auto heads = get_list_in_range(config, "attention_head_dim", n, 8, 1, kMaxChannels);
  const auto context = get_list_in_range(config, "cross_attention_dim", n, 1280, 1, kMaxChannels);
  const auto only_cross = read_only_cross_attention(config, n);
  for (std::size_t i = 0; i < n; ++i) {
    check_range(config, "block_out_channels", channels[i], 1, kMaxChannels);
    check_range(config, "attention_head_dim", heads[i], 1, channels[i]);
    c.levels.push_back({.channels = channels[i],
                        .layers = layers[i],
                        .heads = heads[i],
                        .cross_attention_dim = context[i],
                        .only_cross_attention = only_cross[i],
                        .down_attention = down.attention[i],
                        .up_attention = up.attention[n - 1 - i],
                        .down_transformer_layers = {},
                        .up_transformer_layers = {},
                        .head_dim = heads[i]});
  }
  read_transformer_layers(config, c);
  read_norm_groups(config, channels, c);
}

/// Checks that K-blocks can split the widths into groups and heads, and that skip connections have the right widths.
void check_k_blocks(const Config& config, const UNet2DConditionConfig& c) {
  if (c.mid_block_type != UNetMidBlockType::kNone) {
    throw unsupported_field(config, "mid_block_type", "is not supported with K-blocks; easel supports null");
  }
  for (std::size_t i = 0; i < c.levels.size(); ++i) {
    const auto& level = c.levels[i];
    const auto channels = level.channels, finer = c.levels[i == 0 ? 0 : i - 1].channels;
    const auto splits = [](std::int64_t n) { return n >= kKGroupSize && n % (n / kKGroupSize) == 0; };
    if (!splits(channels) || !splits(2 * channels)) {
      throw unsupported_field(config, "block_out_channels",
                              concat("has ", channels, ", which K-blocks cannot split evenly"));
    }
    check_range(config, "attention_head_dim", level.head_dim, 1, std::min(channels, finer));
    const bool gives_skip = i + 1 < c.levels.size() || !level.down_attention;
    if (gives_skip == c.k_up_block_has_no_skip(i)) {
      throw unsupported_field(config, "block_out_channels", "does not fit the skip connections of these K-blocks");
    }
  }
}

TimeEmbeddingNorm read_time_scale_shift(Config& config) {
  config.require("resnet_time_scale_shift", {"default", "scale_shift"});
  return config.get<std::string>("resnet_time_scale_shift", "default") == "default" ? TimeEmbeddingNorm::kDefault
                                                                                    : TimeEmbeddingNorm::kScaleShift;
}

void read_time_embedding(Config& config, UNet2DConditionConfig& c) {
  c.flip_sin_to_cos = config.get<bool>("flip_sin_to_cos", c.flip_sin_to_cos);
  c.freq_shift = config.get<double>("freq_shift", c.freq_shift);
  config.require("time_embedding_type", {"positional", "fourier"});
  const bool fourier = config.get<std::string>("time_embedding_type", "positional") == "fourier";
  c.time_embedding_type = fourier ? TimeEmbeddingType::kFourier : TimeEmbeddingType::kPositional;
  c.time_embedding_dim = get_in_range(config, "time_embedding_dim", 0, 0, kMaxChannels);
  if (c.time_embedding_dim == 0) c.time_embedding_dim = c.levels[0].channels * (fourier ? 2 : 4);
  if (fourier && c.time_embedding_dim % 2 != 0) throw invalid_field(config, "time_embedding_dim", "must be even");
  c.timestep_post_act = find_activation(config, "timestep_post_act");
  c.time_embedding_act_fn = find_activation(config, "time_embedding_act_fn");
  c.time_cond_proj_dim = find_in_range(config, "time_cond_proj_dim", 1, kMaxChannels);
}

void need_projection_width(const Config& config, const std::string& key, const UNet2DConditionConfig& c) {
  if (c.projection_class_embeddings_input_dim == 0) {
    throw invalid_field(config, key, "needs `projection_class_embeddings_input_dim`");
  }
}

void read_class_embedding(Config& config, UNet2DConditionConfig& c) {
  config.require("class_embed_type", {"timestep", "identity", "projection", "simple_projection"});
  c.num_class_embeds = find_in_range(config, "num_class_embeds", 1, kMaxClasses).value_or(0);
  const auto type = config.get<std::string>("class_embed_type", "");
  if (type == "timestep") c.class_embed_type = ClassEmbedType::kTimestep;
  if (type == "identity") c.class_embed_type = ClassEmbedType::kIdentity;
  if (type == "projection") c.class_embed_type = ClassEmbedType::kProjection;
  if (type == "simple_projection") c.class_embed_type = ClassEmbedType::kSimpleProjection;
  if (type.empty() && c.num_class_embeds > 0) c.class_embed_type = ClassEmbedType::kEmbedding;
  if (type.ends_with("projection")) need_projection_width(config, "class_embed_type", c);
  c.class_embeddings_concat = config.get<bool>("class_embeddings_concat", false);
  if (c.class_embeddings_concat && c.class_embed_type == ClassEmbedType::kNone) {
    throw invalid_field(config, "class_embeddings_concat", "needs `class_embed_type` or `num_class_embeds`");
  }
}

void read_addition_embedding(Config& config, UNet2DConditionConfig& c) {
  config.require("addition_embed_type", {"text", "text_time"});
  const auto type = config.get<std::string>("addition_embed_type", "");
  c.addition_embed_type_num_heads = get_in_range(config, "addition_embed_type_num_heads", 64, 1, kMaxChannels);
  c.addition_time_embed_dim = find_in_range(config, "addition_time_embed_dim", 1, kMaxChannels).value_or(0);
  if (type.empty()) return;
  if (c.class_embeddings_concat)
    throw invalid_field(config, "addition_embed_type", "excludes `class_embeddings_concat`");
  if (type == "text") {
    c.addition_embed_type = AdditionEmbedType::kText;
    if (config.raw("cross_attention_dim").is_array()) {
      throw invalid_field(config, "cross_attention_dim", "must be one number with `addition_embed_type` text");
    }
    if (c.levels[0].cross_attention_dim % c.addition_embed_type_num_heads != 0) {
      throw invalid_field(config, "addition_embed_type_num_heads",
                          concat("does not divide `cross_attention_dim` = ", c.levels[0].cross_attention_dim));
    }
    return;
  }
  c.addition_embed_type = AdditionEmbedType::kTextTime;
  if (c.addition_time_embed_dim == 0)
    throw invalid_field(config, "addition_embed_type", "needs `addition_time_embed_dim`");
  need_projection_width(config, "addition_embed_type", c);
}

std::optional<std::array<std::int64_t, 2>> read_sample_size(Config& config) {
  if (!config.has("sample_size")) return std::nullopt;
  const auto size = get_list_in_range(config, "sample_size", 2, 0, 1, kMaxChannels);
  return std::array<std::int64_t, 2>{size[0], size[1]};
}

void refuse_other_architectures(Config& config) {
  config.require("_class_name", {"UNet2DConditionModel"});
  config.require("dual_cross_attention", {false});
  config.require("attention_type", {"default"});
  config.require("num_attention_heads", {});  // diffusers refuses it as well, because its meaning was never settled
  config.require("encoder_hid_dim", {});
  config.require("encoder_hid_dim_type", {});
}

}  // namespace

bool UNet2DConditionConfig::k_up_block_has_no_skip(std::size_t level) const {
  const auto& here = levels[level];
  const auto finer = levels[level == 0 ? 0 : level - 1].channels;
  return here.up_attention && finer == here.channels && here.channels == temb_channels();
}

UNet2DConditionConfig UNet2DConditionConfig::from(Config& config) {
  UNet2DConditionConfig c;
  refuse_other_architectures(config);
  c.norm_num_groups = get_in_range(config, "norm_num_groups", c.norm_num_groups, 1, kMaxChannels);
  read_levels(config, c);
  c.sample_size = read_sample_size(config);
  c.in_channels = get_in_range(config, "in_channels", c.in_channels, 1, kMaxChannels);
  c.out_channels = get_in_range(config, "out_channels", c.out_channels, 1, kMaxChannels);
  c.center_input_sample = config.get<bool>("center_input_sample", c.center_input_sample);
  c.mid_block_type = read_mid_block_type(config);
  c.mid_block_scale_factor = config.get<double>("mid_block_scale_factor", c.mid_block_scale_factor);
  c.downsample_padding = get_in_range(config, "downsample_padding", c.downsample_padding, 0, 1);
  c.conv_in_kernel = get_in_range(config, "conv_in_kernel", c.conv_in_kernel, 1, kMaxKernel);
  c.conv_out_kernel = get_in_range(config, "conv_out_kernel", c.conv_out_kernel, 1, kMaxKernel);
  c.act_fn = get_activation(config, "act_fn", c.act_fn);
  c.norm_eps = config.get<double>("norm_eps", c.norm_eps);
  c.resnet_time_scale_shift = read_time_scale_shift(config);
  c.use_linear_projection = config.get<bool>("use_linear_projection", c.use_linear_projection);
  c.projection_class_embeddings_input_dim =
      find_in_range(config, "projection_class_embeddings_input_dim", 1, kMaxChannels).value_or(0);
  read_time_embedding(config, c);
  read_class_embedding(config, c);
  if (c.k_blocks) check_k_blocks(config, c);
  read_addition_embedding(config, c);
  // Used only by other block types, or only in training (dropout). Attention scores are float32 with or without upcast.
  config.ignore(
      {"resnet_skip_time_act", "resnet_out_scale_factor", "cross_attention_norm", "dropout", "upcast_attention"});
  config.finish();
  return c;
}

}  // namespace easel
