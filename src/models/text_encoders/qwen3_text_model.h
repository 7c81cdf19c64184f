// The language model that reads the prompts of Z-Image and FLUX.2 klein.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/config.h"
#include "nn/layers.h"
#include "nn/transformer/gated_mlp.h"
#include "nn/transformer/rms_norm.h"
#include "nn/transformer/rotary.h"

namespace easel {

/// text_encoder/config.json. Names and defaults are transformers'.
struct Qwen3TextConfig {
  std::int64_t vocab_size = 151936;
  std::int64_t hidden_size = 4096;
  std::int64_t intermediate_size = 22016;
  std::int64_t num_hidden_layers = 32;
  std::int64_t num_attention_heads = 32;
  std::int64_t num_key_value_heads = 32;
  std::int64_t head_dim = 128;
  double rms_norm_eps = 1e-6;
  double rope_theta = 1e6;

  /// @throws Error(kCorruptData, kUnsupported)  names the field
  static Qwen3TextConfig from(Config& config);
};

/// Yang et al. 2025 (arXiv:2505.09388) as a text encoder: the states between its layers are the result, and no text is
/// generated. Numbers agree with transformers 5.23.0, modeling_qwen3.py. Immutable once made; calls are thread-safe
/// unless the model takes turns on its device with others (see ComponentOffloader).
class Qwen3TextModel {
 public:
  /// Takes the tensors of the first `layers` layers from scope, with or without the prefix "model."; those of the other
  /// layers, of the last norm and of the output layer are not read.
  /// @param layers  1 to num_hidden_layers - 1, because the state after the last layer is another one in transformers
  Qwen3TextModel(const Qwen3TextConfig& config, std::int64_t layers, const ModuleScope& scope);

  const Qwen3TextConfig& config() const { return config_; }
  const std::shared_ptr<LayerTable>& layer_table() const { return layer_table_; }

  /// transformers' hidden_states[i] for each i of `wanted`: [0] is the embedding, [i] the output of layer i - 1. A
  /// token depends on those before it only, so padding at the end changes no other token.
  /// @param input_ids  int64 [B, L] on the weights' device, each below vocab_size
  /// @param wanted     rising, the last at most `layers`
  /// @param length     the tokens of each row that are seen, from 1 to L; the others are padding, which sees the first
  ///                   `length` tokens and not itself. None: all
  /// @return           [B, L, hidden_size] each
  /// @throws Error(kCancelled)
  std::vector<at::Tensor> operator()(const at::Tensor& input_ids, std::span<const std::int64_t> wanted,
                                     const RunContext& ctx, std::optional<std::int64_t> length = std::nullopt) const;

 private:
  class DecoderLayer {
   public:
    DecoderLayer(const ModuleScope& scope, const Qwen3TextConfig& config);
    /// @param hidden_states  [B, L, hidden_size]
    /// @param mask           bool [L, L]: the keys that a query sees; undefined: those up to its own
    /// @return               the shape of hidden_states
    at::Tensor operator()(const at::Tensor& hidden_states, const RotaryTable& rotary, const at::Tensor& mask,
                          const RunContext& ctx) const;

   private:
    at::Tensor attend(const at::Tensor& normed, const RotaryTable& rotary, const at::Tensor& mask,
                      const RunContext& ctx) const;

    OffloadHandle offload_handle_;
    RmsNorm input_layernorm_, post_attention_layernorm_, q_norm_, k_norm_;
    Linear q_proj_, k_proj_, v_proj_, o_proj_;
    GatedMlp mlp_;
    std::int64_t heads_, key_value_heads_;
  };

  Qwen3TextConfig config_;
  OffloadHandle offload_handle_;
  std::shared_ptr<LayerTable> layer_table_;
  Embedding embed_tokens_;
  std::vector<DecoderLayer> layers_;
};

}  // namespace easel
