#include "adapters/layer_names.h"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>

#include "adapters/flux_layer_names.h"
#include "core/text.h"

namespace easel {
namespace {

using Renaming = std::pair<std::string_view, std::string_view>;

constexpr Renaming kOutsideBlocks[] = {{"conv_in", "input_blocks.0.0"},
                                       {"conv_norm_out", "out.0"},
                                       {"conv_out", "out.2"},
                                       {"time_embedding.linear_1", "time_embed.0"},
                                       {"time_embedding.linear_2", "time_embed.2"},
                                       {"add_embedding.linear_1", "label_emb.0.0"},
                                       {"add_embedding.linear_2", "label_emb.0.2"}};
constexpr Renaming kInResnet[] = {{"norm1", "in_layers.0"},          {"conv1", "in_layers.2"},
                                  {"norm2", "out_layers.0"},         {"conv2", "out_layers.3"},
                                  {"time_emb_proj", "emb_layers.1"}, {"conv_shortcut", "skip_connection"}};
// Layers of CLIP's attention, and their names in diffusers' files before PEFT.
constexpr Renaming kOldAttention[] = {
    {".q_proj", ".to_q"}, {".k_proj", ".to_k"}, {".v_proj", ".to_v"}, {".out_proj", ".to_out"}};
constexpr std::string_view kTextModel = "text_model.";

template <std::size_t N>
std::string_view renamed(const Renaming (&table)[N], std::string_view name) {
  for (const auto& [from, to] : table) {
    if (name == from) return to;
  }
  return {};
}

std::string flat(std::string name) {
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
}

std::string without(std::string name, std::string_view part) {
  const auto at = name.find(part);
  return at == std::string::npos ? name : name.erase(at, part.size());
}

/// The parts of a name such as "down_blocks.1.attentions.0.proj_in".
struct BlockName {
  std::string stack;  ///< down_blocks, mid_block, up_blocks
  int block = 0;
  std::string kind;  ///< resnets, attentions, downsamplers, upsamplers
  int index = 0;
  std::string rest;
};

bool take_number(std::string_view& text, int& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  if (!text.starts_with('.')) return false;
  text.remove_prefix(1);
  return true;
}

std::string take_word(std::string_view& text) {
  const auto dot = std::min(text.find('.'), text.size());
  const std::string word(text.substr(0, dot));
  text.remove_prefix(std::min(dot + 1, text.size()));
  return word;
}

bool parse(std::string_view name, BlockName& parts) {
  parts.stack = take_word(name);
  if (parts.stack != "mid_block" && !take_number(name, parts.block)) return false;
  parts.kind = take_word(name);
  if (!take_number(name, parts.index)) return false;
  parts.rest = name;
  return true;
}

bool has_layers_below(const LayerTable& unet, const std::string& prefix) {
  const auto first = unet.slots().lower_bound(prefix);
  return first != unet.slots().end() && first->first.starts_with(prefix);
}

int resnets_of(const LayerTable& unet, const std::string& stack, int block) {
  int count = 0;
  while (has_layers_below(unet, concat(stack, '.', block, ".resnets.", count, '.'))) ++count;
  return count;
}

std::string inside(const BlockName& name) {
  if (name.kind != "resnets") return name.rest;
  return std::string(renamed(kInResnet, name.rest));
}

std::string down_name(const BlockName& name, const LayerTable& unet) {
  int number = 1;  // input_blocks.0 is conv_in
  for (int b = 0; b < name.block; ++b) number += resnets_of(unet, name.stack, b) + 1;
  if (name.kind == "downsamplers") {
    return concat("input_blocks.", number + resnets_of(unet, name.stack, name.block), ".0.op");
  }
  return concat("input_blocks.", number + name.index, name.kind == "attentions" ? ".1." : ".0.", inside(name));
}

std::string up_name(const BlockName& name, const LayerTable& unet) {
  int number = 0;
  for (int b = 0; b < name.block; ++b) number += resnets_of(unet, name.stack, b);
  if (name.kind == "upsamplers") {
    const bool attends = has_layers_below(unet, concat(name.stack, '.', name.block, ".attentions."));
    return concat("output_blocks.", number + resnets_of(unet, name.stack, name.block) - 1, attends ? ".2." : ".1.",
                  name.rest);
  }
  return concat("output_blocks.", number + name.index, name.kind == "attentions" ? ".1." : ".0.", inside(name));
}

}  // namespace

std::string original_unet_name(const std::string& name, const LayerTable& unet) {
  if (const auto outside = renamed(kOutsideBlocks, name); !outside.empty()) return std::string(outside);
  BlockName parts;
  if (!parse(name, parts)) return {};
  if (parts.stack == "down_blocks") return down_name(parts, unet);
  if (parts.stack == "up_blocks") return up_name(parts, unet);
  if (parts.stack != "mid_block") return {};
  const int number = parts.kind == "attentions" ? 1 : 2 * parts.index;  // resnet, attention, resnet
  return concat("middle_block.", number, '.', inside(parts));
}

LayerNames::LayerNames(const std::vector<std::shared_ptr<LayerTable>>& models) {
  for (const auto& model : models) {
    if (model->component == Component::kUnet) {
      add_unet(model);
    } else if (model->component == Component::kTransformer) {
      add_transformer(model);
    } else if (model->component) {
      add_text_encoder(model);
    }
  }
}

void LayerNames::add_unet(const std::shared_ptr<LayerTable>& unet) {
  for (const auto& [name, slot] : unet->slots()) {
    const LayerRef ref{unet, slot};
    for (const char* prefix : {"", "unet."}) {
      layers_.emplace(prefix + name, ref);
      if (name.ends_with(".to_out.0")) layers_.emplace(prefix + name.substr(0, name.size() - 2), ref);
    }
    for (const char* prefix : {"lora_unet_", "lycoris_"}) layers_.emplace(prefix + flat(name), ref);
    const auto original = original_unet_name(name, *unet);
    if (original.empty()) continue;
    for (const char* prefix : {"lora_unet_", "lycoris_"}) layers_.emplace(prefix + flat(original), ref);
    for (const char* prefix : {"unet.", "diffusion_model."}) layers_.emplace(prefix + original, ref);
  }
}

void LayerNames::add_transformer(const std::shared_ptr<LayerTable>& transformer) {
  has_transformer_ = true;
  // FLUX.1's, in contrast to FLUX.2's, whose files the reference does not change.
  const bool swaps_final_norm = transformer->slots().contains("time_text_embed.text_embedder.linear_1");
  const auto add = [&](const std::string& spelled, const LayerRef& ref) {
    for (const char* prefix : {"", "transformer.", "diffusion_model.", "base_model.model."}) {
      layers_.emplace(prefix + spelled, ref);
    }
    for (const char* prefix : {"lora_unet_", "lora_transformer_", "lycoris_"}) {
      layers_.emplace(prefix + flat(spelled), ref);
    }
  };
  for (const auto& [name, slot] : transformer->slots()) {
    const LayerRef ref{transformer, slot};
    add(name, ref);
    // Z-Image's own name for the output layer of an attention.
    if (name.ends_with(".to_out.0")) add(concat(name.substr(0, name.size() - 9), ".out"), ref);
    if (const auto original = original_flux_name(name); !original.empty()) {
      auto renamed = ref;
      renamed.halves_swapped = swaps_final_norm && name == "norm_out.linear";
      add(original, renamed);
    }
    if (const auto xlabs = xlabs_flux_name(name); !xlabs.empty()) add(xlabs, ref);
  }
}

void LayerNames::add_text_encoder(const std::shared_ptr<LayerTable>& encoder) {
  const auto& component = component_name(encoder->component.value());
  const bool second = encoder->component == Component::kTextEncoder2;
  has_second_text_encoder_ = has_second_text_encoder_ || second;
  for (const auto& [own_name, slot] : encoder->slots()) {
    const LayerRef ref{encoder, slot};
    // transformers 5 dropped the inner module; files and checkpoints may name it or not.
    const auto name = own_name.starts_with(kTextModel) ? own_name.substr(kTextModel.size()) : own_name;
    for (const auto& spelled : {name, std::string(kTextModel) + name}) {
      layers_.emplace(concat(component, '.', spelled), ref);
      for (const auto& [now, then] : kOldAttention) {
        if (!spelled.ends_with(now)) continue;
        layers_.emplace(concat(component, '.', spelled.substr(0, spelled.size() - now.size()), then), ref);
      }
      const std::vector<const char*> kohya = second ? std::vector{"lora_te2_"} : std::vector{"lora_te_", "lora_te1_"};
      for (const char* prefix : kohya) layers_.emplace(prefix + flat(spelled), ref);
      const std::vector<const char*> clip = second ? std::vector{"clip_g."} : std::vector{"clip_l.", "clip_h."};
      for (const char* prefix : clip) {
        layers_.emplace(prefix + spelled, ref);
        layers_.emplace(concat("text_encoders.", prefix, "transformer.", spelled), ref);
      }
    }
  }
}

const LayerNames::LayerRef* LayerNames::find(const std::string& name) const {
  const auto found = layers_.find(without(name, ".processor"));
  return found == layers_.end() ? nullptr : &found->second;
}

std::vector<LayerNames::LayerRef> LayerNames::find_all(const std::vector<std::string>& names) const {
  std::vector<LayerRef> parts;
  for (const auto& name : names) {
    const auto* ref = find(name);
    if (ref == nullptr) return {};
    parts.push_back(*ref);
  }
  return parts;
}

std::vector<LayerNames::LayerRef> LayerNames::find_fused(const std::string& name) const {
  constexpr std::string_view kFused = "qkv", kFusedWithMlp = "linear1";
  if (name.ends_with(kFusedWithMlp)) {
    for (const char separator : {'.', '_'}) {
      std::vector<std::string> names;
      for (const char* part : {"to_q", "to_k", "to_v", "proj_mlp"}) names.push_back(concat(name, separator, part));
      if (auto parts = find_all(names); !parts.empty()) return parts;
    }
    return {};
  }
  const auto at = name.rfind(kFused);
  if (at == std::string::npos) return {};
  std::vector<std::string> names;
  for (const char* part : {"to_q", "to_k", "to_v"}) {
    names.push_back(name);
    names.back().replace(at, kFused.size(), part);
  }
  return find_all(names);
}

bool LayerNames::is_of_language_model(const std::string& name) const {
  if (!has_transformer_ || has_second_text_encoder_) return false;
  constexpr std::string_view kPrefixes[] = {"lora_te2_", "lora_te3_", "text_encoder_2.", "text_encoders.t5xxl."};
  return std::ranges::any_of(kPrefixes, [&](std::string_view prefix) { return name.starts_with(prefix); });
}

}  // namespace easel
