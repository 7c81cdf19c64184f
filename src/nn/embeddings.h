// Embeddings of numbers and prompts, which condition a UNet along with cross-attention.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <variant>

#include "nn/activation.h"
#include "nn/layers.h"

namespace easel {

struct TimestepsOptions {
  std::int64_t channels;
  bool flip_sin_to_cos = true;  ///< cosines first
  double freq_shift = 0;
};

/// Sinusoidal embedding of a number (Ho et al. 2020, arXiv:2006.11239). No weights; always float32.
class Timesteps {
 public:
  Timesteps(const TimestepsOptions& options, c10::Device device);
  at::Tensor operator()(const at::Tensor& timesteps) const;  // [N] -> float32 [N, channels]

 private:
  at::Tensor frequencies_;  // float32 [channels / 2]
  bool flip_sin_to_cos_, pad_;
};

/// Sinusoidal embedding with random frequencies that the checkpoint stores (Tancik et al. 2020, arXiv:2006.10739).
class GaussianFourierProjection {
 public:
  GaussianFourierProjection(const ModuleScope& scope, std::int64_t frequencies, bool flip_sin_to_cos);
  at::Tensor operator()(const at::Tensor& timesteps) const;  // [N] -> [N, 2 * frequencies]

 private:
  at::Tensor weight_;
  bool flip_sin_to_cos_;
};

struct TimestepEmbeddingOptions {
  std::int64_t in_channels;
  std::int64_t time_embed_dim;
  Activation activation = Activation::kSilu;
  std::optional<Activation> post_activation = std::nullopt;
  std::optional<std::int64_t> cond_proj_dim = std::nullopt;
};

/// Two-layer MLP that projects an embedding to the width of the UNet's time embedding.
class TimestepEmbedding {
 public:
  TimestepEmbedding(const ModuleScope& scope, const TimestepEmbeddingOptions& options);
  /// @param sample     [B, in_channels]
  /// @param condition  [B, cond_proj_dim], or undefined
  /// @return           [B, time_embed_dim]
  at::Tensor operator()(const at::Tensor& sample, const at::Tensor& condition, const RunContext& ctx) const;

 private:
  Linear linear_1_, linear_2_;
  std::optional<Linear> cond_proj_;
  Activation activation_;
  std::optional<Activation> post_activation_;
};

/// Pools a prompt's token states to one vector by attention with their mean as the query (diffusers'
/// TextTimeEmbedding).
class TextTimeEmbedding {
 public:
  TextTimeEmbedding(const ModuleScope& scope, std::int64_t encoder_dim, std::int64_t time_embed_dim,
                    std::int64_t heads);
  /// @param hidden_states  [B, S, encoder_dim]
  /// @return               [B, time_embed_dim]
  at::Tensor operator()(const at::Tensor& hidden_states, const RunContext& ctx) const;

 private:
  at::Tensor pool(const at::Tensor& tokens, const RunContext& ctx) const;  // [B, S, encoder_dim] -> [B, encoder_dim]

  LayerNorm norm1_, norm2_;
  Linear k_proj_, q_proj_, v_proj_, proj_;
  at::Tensor positional_embedding_;  // [1, encoder_dim]
  std::int64_t heads_;
};

}  // namespace easel
