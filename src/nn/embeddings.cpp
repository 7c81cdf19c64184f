#include "nn/embeddings.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>

#include <cmath>

#include "nn/attention.h"

namespace easel {
namespace {

constexpr double kMaxPeriod = 10000;
constexpr double kPi = 3.14159265358979323846;

at::Tensor sines_and_cosines(const at::Tensor& angles, bool flip_sin_to_cos) {  // [N, F] -> [N, 2 F]
  return flip_sin_to_cos ? at::cat({angles.cos(), angles.sin()}, -1) : at::cat({angles.sin(), angles.cos()}, -1);
}

}  // namespace

Timesteps::Timesteps(const TimestepsOptions& options, c10::Device device)
    : flip_sin_to_cos_(options.flip_sin_to_cos), pad_(options.channels % 2 == 1) {
  const auto half = options.channels / 2;
  const auto index = at::arange(half, at::TensorOptions().dtype(at::kFloat).device(device));
  frequencies_ = index.mul(-std::log(kMaxPeriod)).div(static_cast<double>(half) - options.freq_shift).exp();
}

at::Tensor Timesteps::operator()(const at::Tensor& timesteps) const {
  const auto angles = timesteps.to(at::kFloat).unsqueeze(1).mul(frequencies_);  // [N, channels / 2]
  const auto embedding = sines_and_cosines(angles, flip_sin_to_cos_);
  return pad_ ? at::constant_pad_nd(embedding, {0, 1}) : embedding;
}

GaussianFourierProjection::GaussianFourierProjection(const ModuleScope& scope, std::int64_t frequencies,
                                                     bool flip_sin_to_cos)
    : weight_(scope.take("weight", {frequencies})), flip_sin_to_cos_(flip_sin_to_cos) {}

at::Tensor GaussianFourierProjection::operator()(const at::Tensor& timesteps) const {
  const auto angles = timesteps.unsqueeze(1).mul(weight_).mul_(2).mul_(kPi);  // [N, frequencies]
  return sines_and_cosines(angles, flip_sin_to_cos_);
}

TimestepEmbedding::TimestepEmbedding(const ModuleScope& scope, const TimestepEmbeddingOptions& options)
    : linear_1_(scope / "linear_1", options.in_channels, options.time_embed_dim),
      linear_2_(scope / "linear_2", options.time_embed_dim, options.time_embed_dim),
      activation_(options.activation),
      post_activation_(options.post_activation) {
  if (options.cond_proj_dim) {
    cond_proj_.emplace(scope / "cond_proj", *options.cond_proj_dim, options.in_channels, Bias::kNone);
  }
}

at::Tensor TimestepEmbedding::operator()(const at::Tensor& sample, const at::Tensor& condition,
                                         const RunContext& ctx) const {
  const bool conditioned = cond_proj_ && condition.defined();
  const auto input = conditioned ? sample.add((*cond_proj_)(condition, ctx)) : sample;  // [B, in_channels]
  const auto hidden = linear_1_(input, ctx);                                            // [B, time_embed_dim]
  const auto out = linear_2_(activate_in_place(activation_, hidden), ctx);
  return post_activation_ ? activate_in_place(*post_activation_, out) : out;
}

TextTimeEmbedding::TextTimeEmbedding(const ModuleScope& scope, std::int64_t encoder_dim, std::int64_t time_embed_dim,
                                     std::int64_t heads)
    : norm1_(scope / "norm1", encoder_dim),
      norm2_(scope / "norm2", time_embed_dim),
      k_proj_(scope / "pool" / "k_proj", encoder_dim, encoder_dim),
      q_proj_(scope / "pool" / "q_proj", encoder_dim, encoder_dim),
      v_proj_(scope / "pool" / "v_proj", encoder_dim, encoder_dim),
      proj_(scope / "proj", encoder_dim, time_embed_dim),
      positional_embedding_((scope / "pool").take("positional_embedding", {1, encoder_dim})),
      heads_(heads) {}

at::Tensor TextTimeEmbedding::operator()(const at::Tensor& hidden_states, const RunContext& ctx) const {
  return norm2_(proj_(pool(norm1_(hidden_states, ctx), ctx), ctx), ctx);
}

at::Tensor TextTimeEmbedding::pool(const at::Tensor& tokens, const RunContext& ctx) const {
  const auto mean = tokens.mean(/*dim=*/1, /*keepdim=*/true).add_(positional_embedding_);  // [B, 1, D]
  const auto context = at::cat({mean, tokens}, /*dim=*/1);                                 // [B, 1 + S, D]
  const auto query = q_proj_(mean, ctx), key = k_proj_(context, ctx), value = v_proj_(context, ctx);
  return multi_head_attention(query, key, value, heads_).squeeze(1);
}

}  // namespace easel
