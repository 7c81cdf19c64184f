// The config of a UNet: unet/config.json.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/config.h"
#include "nn/activation.h"
#include "nn/unet/resnet.h"

namespace easel {

/// One resolution of the UNet: a block on the way down and its counterpart on the way up.
struct UNetLevelConfig {
  std::int64_t channels;
  std::int64_t layers;  ///< residual blocks on the way down; one more on the way up
  std::int64_t heads;   ///< attention heads, which the JSON calls `attention_head_dim`; not used in K-blocks
  std::int64_t cross_attention_dim;
  bool only_cross_attention;
  bool down_attention;                                ///< CrossAttnDownBlock2D, not DownBlock2D
  bool up_attention;                                  ///< CrossAttnUpBlock2D, not UpBlock2D
  std::vector<std::int64_t> down_transformer_layers;  ///< one number per residual block
  std::vector<std::int64_t> up_transformer_layers;
  std::int64_t head_dim = 0;  ///< of K-blocks, in which `attention_head_dim` is the width of a head
};

enum class UNetMidBlockType { kNone, kResnet, kCrossAttention };
enum class TimeEmbeddingType { kPositional, kFourier };
enum class ClassEmbedType { kNone, kEmbedding, kTimestep, kIdentity, kProjection, kSimpleProjection };
enum class AdditionEmbedType { kNone, kText, kTextTime };

/// Names and defaults are diffusers'. Fields that the JSON gives once or as a list are distributed over `levels`.
struct UNet2DConditionConfig {
  std::optional<std::array<std::int64_t, 2>> sample_size;  ///< native height and width in latent cells, for pipelines
  std::int64_t in_channels = 4;
  std::int64_t out_channels = 4;
  bool center_input_sample = false;
  std::vector<UNetLevelConfig> levels;  ///< finest first
  bool k_blocks = false;                ///< KDownBlock2D, KUpBlock2D and so on, in the style of k-diffusion
  UNetMidBlockType mid_block_type = UNetMidBlockType::kCrossAttention;
  std::int64_t mid_transformer_layers = 1;
  double mid_block_scale_factor = 1.0;
  std::int64_t downsample_padding = 1;
  std::int64_t conv_in_kernel = 3;
  std::int64_t conv_out_kernel = 3;
  Activation act_fn = Activation::kSilu;
  std::int64_t norm_num_groups = 32;  ///< 0: no norm before the last convolution; only with K-blocks
  double norm_eps = 1e-5;
  TimeEmbeddingNorm resnet_time_scale_shift = TimeEmbeddingNorm::kDefault;
  bool use_linear_projection = false;

  bool flip_sin_to_cos = true;
  double freq_shift = 0;
  TimeEmbeddingType time_embedding_type = TimeEmbeddingType::kPositional;
  std::int64_t time_embedding_dim = 0;
  std::optional<Activation> timestep_post_act, time_embedding_act_fn;
  std::optional<std::int64_t> time_cond_proj_dim;

  ClassEmbedType class_embed_type = ClassEmbedType::kNone;
  std::int64_t num_class_embeds = 0;
  bool class_embeddings_concat = false;
  AdditionEmbedType addition_embed_type = AdditionEmbedType::kNone;
  std::int64_t addition_embed_type_num_heads = 64;
  std::int64_t addition_time_embed_dim = 0;
  std::int64_t projection_class_embeddings_input_dim = 0;

  /// Width of the vector that enters every residual block.
  std::int64_t temb_channels() const { return class_embeddings_concat ? 2 * time_embedding_dim : time_embedding_dim; }

  /// Whether a K-block on the way up takes no skip connection. It is the first one, which diffusers recognises by its
  /// widths.
  bool k_up_block_has_no_skip(std::size_t level) const;

  /// The height and width of a sample must be multiples of size_multiple() and at least min_size().
  std::int64_t size_multiple() const { return k_blocks ? std::int64_t{1} << (levels.size() - 1) : 1; }
  std::int64_t min_size() const { return k_blocks ? 2 * size_multiple() : 1; }

  /// @throws Error(kCorruptData, kUnsupported)  names the field
  static UNet2DConditionConfig from(Config& config);
};

}  // namespace easel
