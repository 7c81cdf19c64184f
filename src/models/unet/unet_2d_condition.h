// The denoiser of Stable Diffusion 1.x to XL.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>
#include <vector>

#include "models/unet/k_unet_blocks.h"
#include "models/unet/unet_2d_blocks.h"
#include "models/unet/unet_2d_condition_config.h"
#include "models/unet/unet_embedding.h"
#include "models/unet/unet_input.h"
#include "nn/layers.h"
#include "nn/module_scope.h"
#include "nn/run_context.h"

namespace easel {

/// Rombach et al. 2022 (arXiv:2112.10752), built from its config. Numbers agree with diffusers 0.42.1,
/// unet_2d_condition.py. Immutable once made; calls are thread-safe, with adapters as well, unless the model takes
/// turns on its device with others (see ComponentOffloader).
class UNet2DConditionModel {
 public:
  /// Takes its tensors from scope; Weights::finish reports missing tensors.
  UNet2DConditionModel(const UNet2DConditionConfig& config, const ModuleScope& scope);

  const UNet2DConditionConfig& config() const { return config_; }
  const std::shared_ptr<LayerTable>& layer_table() const { return layer_table_; }

  /// One evaluation. Rows do not influence each other.
  /// @return  [B, out_channels, h, w]
  /// @throws Error(kInvalidArgument)  a tensor has another shape, is missing or is not used by this model; names it
  /// @throws Error(kCancelled)
  at::Tensor operator()(const UNetInput& input, const RunContext& ctx) const;

 private:
  void check(const UNetInput& input) const;
  void add_residuals(const UNetInput& input, std::vector<at::Tensor>& skips) const;
  at::Tensor run_blocks(at::Tensor sample, const UNetInput& input, const UNetBlockInputs& block_inputs,
                        const RunContext& ctx) const;
  at::Tensor run_k_blocks(at::Tensor sample, const UNetBlockInputs& block_inputs, const RunContext& ctx) const;

  UNet2DConditionConfig config_;
  OffloadHandle offload_handle_;
  std::shared_ptr<LayerTable> layer_table_;
  UNetEmbedding embedding_;
  Conv2d conv_in_;
  std::vector<UNetDownBlock> down_blocks_;
  std::optional<UNetMidBlock> mid_block_;
  std::vector<UNetUpBlock> up_blocks_;
  std::vector<KDownBlock> k_down_blocks_;  // used instead with config.k_blocks
  std::vector<KUpBlock> k_up_blocks_;
  std::optional<GroupNorm> conv_norm_out_;
  Conv2d conv_out_;
};

}  // namespace easel
