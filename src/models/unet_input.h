// What one call of a UNet is given.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace easel {

/// B rows, each with its own timestep and conditions. An undefined tensor means "not given". Everything lies on the
/// weights' device and, where no dtype is named, has the weights' dtype.
struct UNetInput {
  at::Tensor sample;                 ///< [B, in_channels, h, w]
  at::Tensor timesteps;              ///< float32 [B]; fractions are fine
  at::Tensor encoder_hidden_states;  ///< [B, S, cross_attention_dim]

  at::Tensor added_text_embeds;       ///< [B, D]; with addition_embed_type text_time
  at::Tensor added_time_ids;          ///< [B, n], any numeric dtype; with addition_embed_type text_time
  at::Tensor class_labels;            ///< int64 or float32 [B], or [B, D]: what class_embed_type asks for
  at::Tensor timestep_cond;           ///< [B, time_cond_proj_dim]
  at::Tensor encoder_attention_mask;  ///< [B, S], 1 or true: look at it, 0 or false: do not

  std::vector<at::Tensor> down_block_residuals;  ///< of a ControlNet, one for each skip connection, or none
  at::Tensor mid_block_residual;                 ///< of a ControlNet; with down_block_residuals
};

}  // namespace easel
