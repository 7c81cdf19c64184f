// The original code numbers all blocks consecutively; diffusers numbers levels, and layers within them. Both are listed
// here as tables of layers, after diffusers 0.42.1, loaders/single_file_utils.py.
#include "weights/stores/original_names.h"

#include <algorithm>
#include <charconv>
#include <string_view>

#include "core/text.h"

namespace easel {
namespace {

struct NamePair {
  std::string_view original, diffusers;
};
constexpr NamePair kUNetResnet[] = {{"in_layers.0", "norm1"},          {"in_layers.2", "conv1"},
                                    {"out_layers.0", "norm2"},         {"out_layers.3", "conv2"},
                                    {"emb_layers.1", "time_emb_proj"}, {"skip_connection", "conv_shortcut"}};
constexpr NamePair kUNetEnds[] = {{"time_embed.0", "time_embedding.linear_1"},
                                  {"time_embed.2", "time_embedding.linear_2"},
                                  {"label_emb.0.0", "add_embedding.linear_1"},
                                  {"label_emb.0.2", "add_embedding.linear_2"},
                                  {"input_blocks.0.0", "conv_in"},
                                  {"out.0", "conv_norm_out"},
                                  {"out.2", "conv_out"}};
constexpr std::string_view kTransformerEnds[] = {"norm", "proj_in", "proj_out"};
constexpr std::string_view kTransformerBlock[] = {
    "norm1",      "norm2",      "norm3",      "attn1.to_q",     "attn1.to_k",    "attn1.to_v", "attn1.to_out.0",
    "attn2.to_q", "attn2.to_k", "attn2.to_v", "attn2.to_out.0", "ff.net.0.proj", "ff.net.2"};
constexpr NamePair kVaeResnet[] = {
    {"norm1", "norm1"}, {"conv1", "conv1"}, {"norm2", "norm2"}, {"conv2", "conv2"}, {"nin_shortcut", "conv_shortcut"}};
constexpr NamePair kVaeAttention[] = {{"q", "to_q"}, {"k", "to_k"}, {"v", "to_v"}, {"proj_out", "to_out.0"}};
constexpr std::string_view kClipLayer[] = {"layer_norm1",      "layer_norm2",      "self_attn.q_proj",
                                           "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj",
                                           "mlp.fc1",          "mlp.fc2"};
constexpr NamePair kOpenClipLayer[] = {{"ln_1", "layer_norm1"},
                                       {"ln_2", "layer_norm2"},
                                       {"attn.out_proj", "self_attn.out_proj"},
                                       {"mlp.c_fc", "mlp.fc1"},
                                       {"mlp.c_proj", "mlp.fc2"}};

using Form = OriginalTensor::Form;

/// A table under construction.
struct Table {
  std::string prefix;  // of all original names
  OriginalNames names;

  void tensor(const std::string& original, const std::string& diffusers, Form form = Form::kSame) {
    names[diffusers] = {.name = prefix + original, .form = form};
  }
  /// A layer's weight, in some form, and its bias.
  void layer(const std::string& original, const std::string& diffusers, Form form = Form::kSame) {
    tensor(original + ".weight", diffusers + ".weight", form);
    tensor(original + ".bias", diffusers + ".bias");
  }
  template <class Spellings>
  void layers(const Spellings& spellings, const std::string& original, const std::string& diffusers) {
    for (const auto& [before, now] : spellings) layer(concat(original, before), concat(diffusers, now));
  }
  void transformer(const std::string& original, const std::string& diffusers, std::int64_t depth) {
    for (const auto name : kTransformerEnds) layer(concat(original, '.', name), concat(diffusers, '.', name));
    for (std::int64_t d = 0; d < depth; ++d) {
      for (const auto name : kTransformerBlock) {
        const auto rest = concat(".transformer_blocks.", d, '.', name);
        layer(original + rest, diffusers + rest);
      }
    }
  }
};

void add_down_blocks(const OriginalUNetLayout& layout, Table& table) {
  const auto levels = static_cast<std::int64_t>(layout.down_depths.size());
  for (std::int64_t level = 0; level < levels; ++level) {
    const auto& depths = layout.down_depths[static_cast<std::size_t>(level)];
    const auto first = 1 + level * (layout.layers_per_block + 1);
    const auto block = concat("down_blocks.", level, '.');
    for (std::int64_t i = 0; i < layout.layers_per_block; ++i) {
      const auto original = concat("input_blocks.", first + i, '.');
      table.layers(kUNetResnet, original + "0.", concat(block, "resnets.", i, '.'));
      if (!depths.empty()) {
        table.transformer(original + "1", concat(block, "attentions.", i), depths[static_cast<std::size_t>(i)]);
      }
    }
    if (level + 1 == levels) continue;
    table.layer(concat("input_blocks.", first + layout.layers_per_block, ".0.op"), block + "downsamplers.0.conv");
  }
}

void add_middle_block(const OriginalUNetLayout& layout, Table& table) {
  if (layout.middle == OriginalUNetLayout::Middle::kNone) return;
  table.layers(kUNetResnet, "middle_block.0.", "mid_block.resnets.0.");
  if (layout.middle == OriginalUNetLayout::Middle::kResnet) return;
  table.transformer("middle_block.1", "mid_block.attentions.0", layout.mid_depth);
  table.layers(kUNetResnet, "middle_block.2.", "mid_block.resnets.1.");
}

void add_up_blocks(const OriginalUNetLayout& layout, Table& table) {
  const auto levels = static_cast<std::int64_t>(layout.up_depths.size());
  for (std::int64_t up = 0; up < levels; ++up) {
    const auto& depths = layout.up_depths[static_cast<std::size_t>(levels - 1 - up)];
    const auto first = up * (layout.layers_per_block + 1);
    const auto block = concat("up_blocks.", up, '.');
    for (std::int64_t i = 0; i <= layout.layers_per_block; ++i) {
      const auto original = concat("output_blocks.", first + i, '.');
      table.layers(kUNetResnet, original + "0.", concat(block, "resnets.", i, '.'));
      if (!depths.empty()) {
        table.transformer(original + "1", concat(block, "attentions.", i), depths[static_cast<std::size_t>(i)]);
      }
    }
    if (up + 1 == levels) continue;
    const auto last = concat("output_blocks.", first + layout.layers_per_block, '.');
    table.layer(last + (depths.empty() ? "1.conv" : "2.conv"), block + "upsamplers.0.conv");
  }
}

/// The depths of a level's transformers. A layer without one, where others have one, lacks tensors: it is expected to
/// be like the deepest.
/// @param first   number of its first block
/// @param blocks  prefix of the blocks' names
std::vector<std::int64_t> transformer_depths(const NameSet& names, const std::string& blocks, std::int64_t first,
                                             std::int64_t layers) {
  std::vector<std::int64_t> depths;
  std::int64_t deepest = 0;
  for (std::int64_t i = first; i < first + layers; ++i) {
    depths.push_back(names.count(concat(blocks, i, ".1.transformer_blocks.")));
    deepest = std::max(deepest, depths.back());
  }
  if (deepest == 0) return {};
  std::replace(depths.begin(), depths.end(), std::int64_t{0}, deepest);
  return depths;
}

OriginalUNetLayout::Middle middle_of(const NameSet& names, const std::string& prefix) {
  using Middle = OriginalUNetLayout::Middle;
  const bool attention = names.has_prefix(prefix + "middle_block.1.") || names.has_prefix(prefix + "middle_block.2.");
  if (attention) return Middle::kAttention;
  return names.has_prefix(prefix + "middle_block.0.") ? Middle::kResnet : Middle::kNone;
}

/// What encoder and decoder have in common.
void add_vae_half(const std::string& half, Table& table) {
  for (const char* end : {"conv_in", "conv_out"}) table.layer(half + end, half + end);
  table.layer(half + "norm_out", half + "conv_norm_out");
  table.layers(kVaeResnet, half + "mid.block_1.", half + "mid_block.resnets.0.");
  table.layers(kVaeResnet, half + "mid.block_2.", half + "mid_block.resnets.1.");
  const auto attention = half + "mid_block.attentions.0.";
  table.layer(half + "mid.attn_1.norm", attention + "group_norm");
  for (const auto& [before, now] : kVaeAttention) {
    table.layer(concat(half, "mid.attn_1.", before), concat(attention, now), Form::kMatrix);
  }
}

}  // namespace

NameSet::NameSet(const TensorStore& store) {
  for (auto& name : store.names()) names_.insert(std::move(name));
}

bool NameSet::has_prefix(const std::string& prefix) const {
  const auto found = names_.lower_bound(prefix);
  return found != names_.end() && found->starts_with(prefix);
}

std::int64_t NameSet::count(const std::string& prefix) const {
  constexpr std::int64_t kMaxCount = 1000;  // far beyond any model; bounds the work that a file can cause
  std::int64_t most = 0;
  for (auto it = names_.lower_bound(prefix); it != names_.end() && it->starts_with(prefix); ++it) {
    std::int64_t number = 0;
    const char* end = it->data() + it->size();
    const auto parsed = std::from_chars(it->data() + prefix.size(), end, number);
    const bool whole = parsed.ec == std::errc() && parsed.ptr != end && *parsed.ptr == '.';
    if (whole && number >= 0 && number < kMaxCount) most = std::max(most, number + 1);
  }
  return most;
}

OriginalUNetLayout original_unet_layout(const NameSet& names, const std::string& prefix) {
  const auto blocks = names.count(prefix + "input_blocks.");
  std::int64_t per_level = blocks;  // layers and the downsampler; the last level counts the first convolution instead
  for (std::int64_t i = blocks - 1; i > 0; --i) {
    if (names.has_prefix(concat(prefix, "input_blocks.", i, ".0.op."))) per_level = i;
  }
  OriginalUNetLayout layout;
  layout.layers_per_block = std::max<std::int64_t>(0, per_level - 1);
  const auto layers = layout.layers_per_block;
  for (std::int64_t first = 1; first < blocks; first += per_level) {
    layout.down_depths.push_back(transformer_depths(names, prefix + "input_blocks.", first, layers));
  }
  const auto levels = static_cast<std::int64_t>(layout.down_depths.size());
  for (std::int64_t level = 0; level < levels; ++level) {
    const auto& down = layout.down_depths[static_cast<std::size_t>(level)];
    const auto first = (levels - 1 - level) * (layers + 1);
    auto up = transformer_depths(names, prefix + "output_blocks.", first, layers + 1);
    // Levels have attention in both directions.
    if (down.empty()) up.clear();
    if (!down.empty() && up.empty()) up.assign(static_cast<std::size_t>(layers + 1), down[0]);
    layout.up_depths.push_back(std::move(up));
  }
  layout.middle = middle_of(names, prefix);
  layout.mid_depth = names.count(prefix + "middle_block.1.transformer_blocks.");
  return layout;
}

OriginalVaeLayout original_vae_layout(const NameSet& names, const std::string& prefix) {
  return {.levels = names.count(prefix + "encoder.down."),
          .layers_per_block = names.count(prefix + "encoder.down.0.block.")};
}

OriginalNames original_unet_names(const OriginalUNetLayout& layout, const std::string& prefix) {
  Table table{.prefix = prefix, .names = {}};
  table.layers(kUNetEnds, "", "");
  table.tensor("label_emb.weight", "class_embedding.weight");
  add_down_blocks(layout, table);
  add_middle_block(layout, table);
  add_up_blocks(layout, table);
  return std::move(table.names);
}

OriginalNames original_vae_names(const OriginalVaeLayout& layout, const std::string& prefix) {
  Table table{.prefix = prefix, .names = {}};
  for (const char* end : {"quant_conv", "post_quant_conv"}) table.layer(end, end);
  for (const char* half : {"encoder.", "decoder."}) add_vae_half(half, table);
  for (std::int64_t level = 0; level < layout.levels; ++level) {
    const auto down = concat("encoder.down.", level, '.'), down_block = concat("encoder.down_blocks.", level, '.');
    const auto up = concat("decoder.up.", level, '.');
    const auto up_block = concat("decoder.up_blocks.", layout.levels - 1 - level, '.');
    for (std::int64_t i = 0; i < layout.layers_per_block; ++i) {
      table.layers(kVaeResnet, concat(down, "block.", i, '.'), concat(down_block, "resnets.", i, '.'));
    }
    for (std::int64_t i = 0; i <= layout.layers_per_block; ++i) {
      table.layers(kVaeResnet, concat(up, "block.", i, '.'), concat(up_block, "resnets.", i, '.'));
    }
    if (level + 1 < layout.levels) table.layer(down + "downsample.conv", down_block + "downsamplers.0.conv");
    if (level > 0) table.layer(up + "upsample.conv", up_block + "upsamplers.0.conv");
  }
  return std::move(table.names);
}

OriginalNames original_clip_names(std::int64_t layers, const std::string& prefix, const std::string& projection) {
  Table table{.prefix = prefix, .names = {}};
  for (const char* name : {"embeddings.token_embedding.weight", "embeddings.position_embedding.weight",
                           "final_layer_norm.weight", "final_layer_norm.bias"}) {
    table.tensor(name, concat("text_model.", name));
  }
  for (std::int64_t i = 0; i < layers; ++i) {
    for (const auto name : kClipLayer) {
      const auto layer = concat("encoder.layers.", i, '.', name);
      table.layer(layer, "text_model." + layer);
    }
  }
  if (!projection.empty()) table.names["text_projection.weight"] = {.name = projection};
  return std::move(table.names);
}

OriginalNames original_open_clip_names(std::int64_t layers, const std::string& prefix) {
  Table table{.prefix = prefix, .names = {}};
  table.tensor("token_embedding.weight", "text_model.embeddings.token_embedding.weight");
  table.tensor("positional_embedding", "text_model.embeddings.position_embedding.weight");
  table.layer("ln_final", "text_model.final_layer_norm");
  table.tensor("text_projection", "text_projection.weight", Form::kTransposed);
  for (std::int64_t i = 0; i < layers; ++i) {
    const auto original = concat("transformer.resblocks.", i, '.');
    const auto layer = concat("text_model.encoder.layers.", i, '.');
    table.layers(kOpenClipLayer, original, layer);
    for (const auto& [name, form] :
         {std::pair{"q_proj", Form::kQuery}, std::pair{"k_proj", Form::kKey}, std::pair{"v_proj", Form::kValue}}) {
      table.tensor(original + "attn.in_proj_weight", concat(layer, "self_attn.", name, ".weight"), form);
      table.tensor(original + "attn.in_proj_bias", concat(layer, "self_attn.", name, ".bias"), form);
    }
  }
  return std::move(table.names);
}

}  // namespace easel
