// Everything that conditions a UNet beside cross-attention, as one vector a row.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <variant>

#include "models/unet_2d_condition_config.h"
#include "models/unet_input.h"
#include "nn/embeddings.h"
#include "weights/loading/weights.h"

namespace easel {

/// Timestep, class labels and added conditions of a UNetInput: the `emb` of diffusers' forward.
class UNetEmbedding {
 public:
  UNetEmbedding(const UNet2DConditionConfig& config, const WeightScope& scope);

  /// @return  [B, temb_channels], of the sample's dtype
  /// @throws Error(kInvalidArgument)  a condition that the config asks for is not given, or the other way round
  at::Tensor operator()(const UNetInput& input) const;

 private:
  using TimeProjection = std::variant<Timesteps, GaussianFourierProjection>;
  using ClassEmbedding = std::variant<Embedding, TimestepEmbedding, Linear>;
  using AddedEmbedding = std::variant<TextTimeEmbedding, TimestepEmbedding>;

  static TimeProjection make_time_projection(const UNet2DConditionConfig& config, const WeightScope& scope);
  static std::optional<ClassEmbedding> make_class_embedding(const UNet2DConditionConfig& config,
                                                            const WeightScope& scope);
  static std::optional<AddedEmbedding> make_added_embedding(const UNet2DConditionConfig& config,
                                                            const WeightScope& scope);

  at::Tensor project_time(const at::Tensor& numbers) const;      // [N] -> [N, D]
  at::Tensor embed_class(const UNetInput& input) const;          // [B, time_embedding_dim]
  at::Tensor embed_text_and_time(const UNetInput& input) const;  // [B, time_embedding_dim]

  UNet2DConditionConfig config_;
  TimeProjection time_proj_;
  TimestepEmbedding time_embedding_;
  std::optional<ClassEmbedding> class_embedding_;
  std::optional<Timesteps> add_time_proj_;
  std::optional<AddedEmbedding> add_embedding_;
};

}  // namespace easel
