// Everything that conditions a UNet except cross-attention, as one vector per row.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <variant>

#include "models/unet/unet_2d_condition_config.h"
#include "models/unet/unet_input.h"
#include "nn/embeddings.h"
#include "nn/module_scope.h"

namespace easel {

/// Timestep, class labels and added conditions of a UNetInput: the `emb` of diffusers' forward.
class UNetEmbedding {
 public:
  UNetEmbedding(const UNet2DConditionConfig& config, const ModuleScope& scope);

  /// @return  [B, temb_channels], of the sample's dtype
  /// @throws Error(kInvalidArgument)  a condition that the config requires is missing, or one that it does not use is
  /// given
  at::Tensor operator()(const UNetInput& input, const RunContext& ctx) const;

 private:
  using TimeProjection = std::variant<Timesteps, GaussianFourierProjection>;
  using ClassEmbedding = std::variant<Embedding, TimestepEmbedding, Linear>;
  using AddedEmbedding = std::variant<TextTimeEmbedding, TimestepEmbedding>;

  static TimeProjection make_time_projection(const UNet2DConditionConfig& config, const ModuleScope& scope);
  static std::optional<ClassEmbedding> make_class_embedding(const UNet2DConditionConfig& config,
                                                            const ModuleScope& scope);
  static std::optional<AddedEmbedding> make_added_embedding(const UNet2DConditionConfig& config,
                                                            const ModuleScope& scope);

  at::Tensor embed(const UNetInput& input, const RunContext& ctx) const;
  at::Tensor project_time(const at::Tensor& numbers) const;                             // [N] -> [N, D]
  at::Tensor embed_class(const UNetInput& input, const RunContext& ctx) const;          // [B, time_embedding_dim]
  at::Tensor embed_text_and_time(const UNetInput& input, const RunContext& ctx) const;  // [B, time_embedding_dim]

  UNet2DConditionConfig config_;
  TimeProjection time_proj_;
  TimestepEmbedding time_embedding_;
  std::optional<ClassEmbedding> class_embedding_;
  std::optional<Timesteps> add_time_proj_;
  std::optional<AddedEmbedding> add_embedding_;
};

}  // namespace easel
