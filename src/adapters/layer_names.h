// Finds a model's layers by the names that adapter files give them.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "nn/layer_table.h"

namespace easel {

/// The original implementation's name for a UNet layer, which kohya's trainer uses for SDXL:
/// "down_blocks.1.attentions.0.proj_in" is "input_blocks.4.1.proj_in". Empty if there is none.
/// @param name  diffusers' name
/// @param unet  all of the UNet's layers; the original implementation numbers blocks consecutively, so all are needed
std::string original_unet_name(const std::string& name, const LayerTable& unet);

/// Finds layers by the names in files of kohya, diffusers, PEFT, OneTrainer and ComfyUI: lora_unet_mid_block_...,
///   lora_unet_middle_block_..., lycoris_...; lora_te_..., lora_te1_..., lora_te2_...; unet.mid_block..., mid_block...,
///   with or without .processor, text_encoder.text_model...; unet.middle_block..., clip_l..., clip_g...;
///   diffusion_model.middle_block..., text_encoders.clip_l.transformer...; and of transformers: transformer.layers...,
///   diffusion_model.layers..., base_model.model.layers..., lora_unet_layers_..., and the original names of FLUX,
///   double_blocks... and single_blocks..., in each of these ways.
/// Immutable; thread-safe.
class LayerNames {
 public:
  struct LayerRef {
    std::shared_ptr<LayerTable> model;
    std::shared_ptr<LayerSlot> slot;
    bool halves_swapped = false;  ///< under this name, a file has the last half of the layer's rows first
  };
  explicit LayerNames(const std::vector<std::shared_ptr<LayerTable>>& models);
  /// Null if there is no layer of that name.
  const LayerRef* find(const std::string& name) const;
  /// The layers whose weights, one below another, are the weight of this name in the original implementation, which
  /// projects to queries, keys and values at once: layers.0.attention.qkv; or to these and the MLP's input:
  /// single_blocks.0.linear1. Empty if there are none.
  std::vector<LayerRef> find_fused(const std::string& name) const;
  /// Whether the name is that of a layer of T5, which trainers may adapt and the reference leaves out.
  bool is_of_language_model(const std::string& name) const;

 private:
  /// Empty if one of them is missing.
  std::vector<LayerRef> find_all(const std::vector<std::string>& names) const;
  void add_unet(const std::shared_ptr<LayerTable>& unet);
  void add_transformer(const std::shared_ptr<LayerTable>& transformer);
  void add_text_encoder(const std::shared_ptr<LayerTable>& encoder);

  std::unordered_map<std::string, LayerRef> layers_;
  bool has_transformer_ = false, has_second_text_encoder_ = false;
};

}  // namespace easel
