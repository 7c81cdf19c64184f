// The names that adapter files give to a model's layers.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "nn/layer_table.h"

namespace easel {

/// diffusers' name of a UNet layer as the original implementation has it, in which kohya's trainer names SDXL's layers:
/// "down_blocks.1.attentions.0.proj_in" is "input_blocks.4.1.proj_in". Empty where there is none.
/// @param unet  all of the UNet's layers: blocks are numbered through, so their lengths count
std::string original_unet_name(const std::string& name, const LayerTable& unet);

/// Finds layers by the names of kohya's, diffusers', PEFT's, OneTrainer's and ComfyUI's files: lora_unet_mid_block_...,
///   lora_unet_middle_block_..., lycoris_...; lora_te_..., lora_te1_..., lora_te2_...; unet.mid_block..., mid_block...,
///   with .processor or not, text_encoder.text_model...; unet.middle_block..., clip_l..., clip_g...;
///   diffusion_model.middle_block..., text_encoders.clip_l.transformer...
/// Not changed once made; thread-safe.
class LayerNames {
 public:
  struct LayerRef {
    std::shared_ptr<LayerTable> model;
    std::shared_ptr<LayerSlot> slot;
  };
  explicit LayerNames(const std::vector<std::shared_ptr<LayerTable>>& models);
  /// Null where no layer is called so.
  const LayerRef* find(const std::string& name) const;

 private:
  void add_unet(const std::shared_ptr<LayerTable>& unet);
  void add_text_encoder(const std::shared_ptr<LayerTable>& encoder);

  std::unordered_map<std::string, LayerRef> layers_;
};

}  // namespace easel
