// The text encoder of FLUX.1, Stable Diffusion 3 and PixArt.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "core/config.h"
#include "nn/layers.h"
#include "nn/transformer/rms_norm.h"

namespace easel {

/// config.json of the encoder. Names and defaults are transformers'.
struct T5EncoderConfig {
  std::int64_t vocab_size = 32128;
  std::int64_t d_model = 512;
  std::int64_t d_kv = 64;
  std::int64_t d_ff = 2048;
  std::int64_t num_layers = 6;
  std::int64_t num_heads = 8;
  std::int64_t relative_attention_num_buckets = 32;
  std::int64_t relative_attention_max_distance = 128;
  double layer_norm_epsilon = 1e-6;

  /// @throws Error(kCorruptData, kUnsupported)  names the field
  static T5EncoderConfig from(Config& config);
};

/// The encoder of T5 version 1.1, whose MLPs are gated (Raffel et al. 2020, arXiv:1910.10683; Shazeer 2020,
/// arXiv:2002.05202). Numbers agree with transformers 5.23.0, modeling_t5.py. In float16, in which T5 overflows, the
/// states between the layers and the last layer of each MLP are computed in float32. Immutable once made; calls are
/// thread-safe unless the model takes turns on its device with others (see ComponentOffloader).
class T5EncoderModel {
 public:
  /// Takes its tensors from scope; Weights::finish reports missing tensors. The embedding may have either of its two
  /// names, "shared" and "encoder.embed_tokens".
  T5EncoderModel(const T5EncoderConfig& config, const ModuleScope& scope);

  const T5EncoderConfig& config() const { return config_; }
  const std::shared_ptr<LayerTable>& layer_table() const { return layer_table_; }

  /// @param input_ids       int64 [B, L] on the weights' device, each below vocab_size
  /// @param attention_mask  bool [B, L] on the same device: false hides a token from all others; undefined: no token is
  ///                        hidden
  /// @return                [B, L, d_model]: the states after the final norm, in the placement's dtype
  /// @throws Error(kInvalidArgument)  there are no tokens
  /// @throws Error(kCancelled)
  at::Tensor operator()(const at::Tensor& input_ids, const at::Tensor& attention_mask, const RunContext& ctx) const;

 private:
  class Block {
   public:
    Block(const ModuleScope& scope, const T5EncoderConfig& config);
    /// @param hidden_states  [B, L, d_model]
    /// @param bias           [B or 1, num_heads, L, L], added to the scores of attention
    /// @return               the shape of hidden_states
    at::Tensor operator()(const at::Tensor& hidden_states, const at::Tensor& bias, const RunContext& ctx) const;

   private:
    at::Tensor attend(const at::Tensor& normed, const at::Tensor& bias, const RunContext& ctx) const;
    at::Tensor feed_forward(const at::Tensor& normed, const RunContext& ctx) const;

    OffloadHandle offload_handle_;
    RmsNorm attention_norm_, feed_forward_norm_;
    Linear q_, k_, v_, o_, wi_0_, wi_1_, wo_;
    std::int64_t heads_;
  };

  at::Tensor position_bias(std::int64_t length, c10::Device device) const;

  T5EncoderConfig config_;
  OffloadHandle offload_handle_;
  std::shared_ptr<LayerTable> layer_table_;
  c10::ScalarType dtype_;
  Embedding embedding_, relative_attention_bias_;
  std::vector<Block> blocks_;
  RmsNorm final_layer_norm_;
};

}  // namespace easel
