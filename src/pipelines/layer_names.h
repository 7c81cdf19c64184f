// The names that adapter files give to a model's layers.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "weights/layer_table.h"

namespace easel {

/// diffusers' name of a UNet layer as the original implementation has it, in which kohya's trainer names SDXL's layers:
/// "down_blocks.1.attentions.0.proj_in" is "input_blocks.4.1.proj_in". Empty where there is none.
/// @param unet  all of the UNet's layers: blocks are numbered through, so their lengths count
std::string original_unet_name(const std::string& name, const LayerTable& unet);

/// Finds layers by the names of kohya's, diffusers' and PEFT's files:
///   lora_unet_mid_block_attentions_0_proj_in, lora_unet_middle_block_1_proj_in; lora_te_..., lora_te1_...,
///   lora_te2_...; unet.mid_block..., unet.mid_block...processor.to_q, text_encoder.text_model.encoder...; mid_block...
///   alone.
/// Not changed once made; thread-safe.
class LayerNames {
 public:
  struct Place {
    std::shared_ptr<LayerTable> model;
    std::shared_ptr<LayerSlot> slot;
  };
  explicit LayerNames(const std::vector<std::shared_ptr<LayerTable>>& models);
  /// Null where no layer is called so.
  const Place* find(const std::string& name) const;

 private:
  void add_unet(const std::shared_ptr<LayerTable>& unet);
  void add_text_encoder(const std::shared_ptr<LayerTable>& encoder);

  std::unordered_map<std::string, Place> places_;
};

}  // namespace easel
