// The text encoder of Stable Diffusion.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "core/config.h"
#include "nn/activation.h"
#include "nn/layers.h"
#include "nn/module_scope.h"
#include "nn/run_context.h"

namespace easel {

/// text_encoder/config.json. Names and defaults are transformers'.
struct CLIPTextConfig {
  std::int64_t vocab_size = 49408;
  std::int64_t hidden_size = 512;
  std::int64_t intermediate_size = 2048;
  std::int64_t projection_dim = 512;
  std::int64_t num_hidden_layers = 12;
  std::int64_t num_attention_heads = 8;
  std::int64_t max_position_embeddings = 77;
  Activation hidden_act = Activation::kQuickGelu;
  double layer_norm_eps = 1e-5;
  std::int64_t eos_token_id = 49407;
  bool with_projection = false;  ///< `architectures` names CLIPTextModelWithProjection

  /// @throws Error(kCorruptData, kUnsupported)  names the field
  static CLIPTextConfig from(Config& config);
};

struct CLIPTextOutput {
  at::Tensor last_hidden_state;  ///< [B, L, hidden_size], after the final LayerNorm
  at::Tensor hidden_state;   ///< the same shape: output of the last layer that was not skipped, before the LayerNorm
  at::Tensor prompt_embeds;  ///< the same shape: hidden_state after the final LayerNorm
  at::Tensor pooled_output;  ///< [B, hidden_size]: last_hidden_state at each row's end-of-text token
  at::Tensor text_embeds;    ///< [B, projection_dim]: pooled_output projected; undefined without projection
};

/// Vectors that replace the vocabulary's embeddings of some tokens: words of textual inversion.
struct TokenEmbeddingOverrides {
  at::Tensor positions;  ///< int64 [E], into the B * L tokens; undefined for none
  at::Tensor vectors;    ///< [E, hidden_size], of any floating dtype, on the weights' device
};

/// Radford et al. 2021 (arXiv:2103.00020). Numbers agree with transformers 5.23.0, modeling_clip.py, both as
/// CLIPTextModel and as CLIPTextModelWithProjection. Immutable once made; calls are thread-safe, with adapters as well,
/// unless the model takes turns on its device with others (see ComponentOffloader).
class CLIPTextModel {
 public:
  /// Takes its tensors from scope, with or without the prefix "text_model."; Weights::finish reports
  /// missing tensors.
  CLIPTextModel(const CLIPTextConfig& config, const ModuleScope& scope);

  const CLIPTextConfig& config() const { return config_; }
  const std::shared_ptr<LayerTable>& layer_table() const { return layer_table_; }

  /// @param input_ids  int64 [B, L] on the weights' device, L at most max_position_embeddings, each below vocab_size;
  ///                   at learned positions it can be any number and is only compared with the end-of-text token
  /// @param clip_skip  layers left out of hidden_state and prompt_embeds, counted from the end: 0 to num_hidden_layers
  /// @throws Error(kInvalidArgument)  L or clip_skip out of range
  /// @throws Error(kCancelled)
  CLIPTextOutput operator()(const at::Tensor& input_ids, std::int64_t clip_skip, const RunContext& ctx,
                            const TokenEmbeddingOverrides& learned = {}) const;

 private:
  class EncoderLayer {
   public:
    EncoderLayer(const ModuleScope& scope, const CLIPTextConfig& config);
    /// @param hidden_states  [B, L, hidden_size]
    /// @return               the same shape
    at::Tensor operator()(const at::Tensor& hidden_states, const RunContext& ctx) const;

   private:
    at::Tensor attend(const at::Tensor& normed, const RunContext& ctx) const;

    LayerNorm layer_norm1_, layer_norm2_;
    Linear q_proj_, k_proj_, v_proj_, out_proj_, fc1_, fc2_;
    std::int64_t heads_;
    Activation activation_;
  };

  at::Tensor embed(const at::Tensor& input_ids, const TokenEmbeddingOverrides& learned) const;
  at::Tensor pool(const at::Tensor& last_hidden_state, const at::Tensor& input_ids) const;

  CLIPTextConfig config_;
  OffloadHandle offload_handle_;
  std::shared_ptr<LayerTable> layer_table_;
  Embedding token_embedding_, position_embedding_;
  std::vector<EncoderLayer> layers_;
  LayerNorm final_layer_norm_;
  std::optional<Linear> text_projection_;
};

}  // namespace easel
