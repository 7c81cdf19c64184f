// The inputs of one call of a UNet.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace easel {

/// B rows, each with its own timestep and conditions. An undefined tensor means that the input is not given. All
/// tensors are on the weights' device and have the weights' dtype unless another one is named.
struct UNetInput {
  at::Tensor sample;                 ///< [B, in_channels, h, w]
  at::Tensor timesteps;              ///< float32 [B]; fractions are allowed
  at::Tensor encoder_hidden_states;  ///< [B, S, cross_attention_dim]

  at::Tensor added_text_embeds;       ///< [B, D]; with addition_embed_type text_time
  at::Tensor added_time_ids;          ///< [B, n], any numeric dtype; with addition_embed_type text_time
  at::Tensor class_labels;            ///< int64 or float32 [B], or [B, D], depending on class_embed_type
  at::Tensor timestep_cond;           ///< [B, time_cond_proj_dim]
  at::Tensor encoder_attention_mask;  ///< [B, S]; 1 or true: attend to the token, 0 or false: do not

  std::vector<at::Tensor> down_block_residuals;  ///< of a ControlNet, one for each skip connection, or none
  at::Tensor mid_block_residual;                 ///< of a ControlNet; with down_block_residuals
};

}  // namespace easel
