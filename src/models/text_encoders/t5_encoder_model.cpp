#include "models/text_encoders/t5_encoder_model.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/log.h>
#include <ATen/ops/where.h>

#include <cmath>
#include <limits>

#include "models/config_reading.h"
#include "nn/activation.h"
#include "nn/attention.h"
#include "tensor/upload.h"

namespace easel {
namespace {

constexpr std::int64_t kMaxT5Vocabulary = 1 << 22;

// Fields for text generation, for training and for transformers' own bookkeeping. Those of the activation follow from
// `feed_forward_proj`, as in the reference.
void ignore_t5_bookkeeping(Config& config) {
  config.ignore({"add_cross_attention",
                 "architectures",
                 "bos_token_id",
                 "chunk_size_feed_forward",
                 "classifier_dropout",
                 "decoder_start_token_id",
                 "dense_act_fn",
                 "dropout_rate",
                 "dtype",
                 "eos_token_id",
                 "gradient_checkpointing",
                 "id2label",
                 "initializer_factor",
                 "is_decoder",
                 "is_encoder_decoder",
                 "is_gated_act",
                 "label2id",
                 "n_positions",
                 "num_decoder_layers",
                 "output_attentions",
                 "output_hidden_states",
                 "output_past",
                 "pad_token_id",
                 "problem_type",
                 "return_dict",
                 "scale_decoder_outputs",
                 "task_specific_params",
                 "tie_word_embeddings",
                 "torch_dtype",
                 "transformers_version",
                 "use_cache"});
}

ModuleScope embedding_scope(const ModuleScope& scope) {
  auto embed_tokens = scope / "encoder" / "embed_tokens";
  if (!scope.has("shared.weight") && embed_tokens.has("weight")) return embed_tokens;
  embed_tokens.skip("weight");  // the same tensor
  return scope / "shared";
}

/// The bucket of each distance from a query (row) to a key (column): int64 [L, L] on the CPU. Distances are counted one
/// by one up to half the buckets of a direction, and beyond that on a logarithmic scale, in the reference's arithmetic.
at::Tensor relative_position_buckets(std::int64_t length, const T5EncoderConfig& config) {
  const auto buckets = config.relative_attention_num_buckets / 2, exact = buckets / 2;
  const auto index = at::arange(length, at::kLong);
  const auto relative = index.unsqueeze(0) - index.unsqueeze(1);
  const auto distance = relative.abs();
  const double range =
      std::log(static_cast<double>(config.relative_attention_max_distance) / static_cast<double>(exact));
  const auto large = ((at::log(distance.to(at::kFloat) / exact) / range * (buckets - exact)).to(at::kLong) + exact)
                         .clamp_max(buckets - 1);
  return relative.gt(0).to(at::kLong) * buckets + at::where(distance.lt(exact), distance, large);
}

}  // namespace

T5EncoderConfig T5EncoderConfig::from(Config& config) {
  T5EncoderConfig c;
  config.require("model_type", {"t5"});
  // Without this field, transformers builds the MLP of the first T5.
  if (config.get<std::string>("feed_forward_proj", "relu") != "gated-gelu") {
    throw unsupported_field(config, "feed_forward_proj", "is not supported; easel supports gated-gelu");
  }
  c.vocab_size = get_in_range(config, "vocab_size", c.vocab_size, 1, kMaxT5Vocabulary);
  c.d_model = get_in_range(config, "d_model", c.d_model, 1, kMaxChannels);
  c.d_kv = get_in_range(config, "d_kv", c.d_kv, 1, kMaxChannels);
  c.d_ff = get_in_range(config, "d_ff", c.d_ff, 1, kMaxChannels);
  c.num_layers = get_in_range(config, "num_layers", c.num_layers, 1, kMaxLayers);
  c.num_heads = get_in_range(config, "num_heads", c.num_heads, 1, kMaxChannels);
  c.relative_attention_num_buckets =
      get_in_range(config, "relative_attention_num_buckets", c.relative_attention_num_buckets, 4, kMaxChannels);
  c.relative_attention_max_distance =
      get_in_range(config, "relative_attention_max_distance", c.relative_attention_max_distance,
                   c.relative_attention_num_buckets / 4 + 1, kMaxChannels);
  if (c.relative_attention_num_buckets % 4 != 0) {
    throw invalid_field(config, "relative_attention_num_buckets", "is not a multiple of 4");
  }
  c.layer_norm_epsilon = config.get<double>("layer_norm_epsilon", c.layer_norm_epsilon);
  ignore_t5_bookkeeping(config);
  config.finish();
  return c;
}

T5EncoderModel::Block::Block(const ModuleScope& scope, const T5EncoderConfig& config)
    : offload_handle_(scope.offload_handle()),
      attention_norm_(scope / "layer" / 0 / "layer_norm", config.d_model, config.layer_norm_epsilon),
      feed_forward_norm_(scope / "layer" / 1 / "layer_norm", config.d_model, config.layer_norm_epsilon),
      q_(scope / "layer" / 0 / "SelfAttention" / "q", config.d_model, config.num_heads * config.d_kv, Bias::kNone),
      k_(scope / "layer" / 0 / "SelfAttention" / "k", config.d_model, config.num_heads * config.d_kv, Bias::kNone),
      v_(scope / "layer" / 0 / "SelfAttention" / "v", config.d_model, config.num_heads * config.d_kv, Bias::kNone),
      o_(scope / "layer" / 0 / "SelfAttention" / "o", config.num_heads * config.d_kv, config.d_model, Bias::kNone),
      wi_0_(scope / "layer" / 1 / "DenseReluDense" / "wi_0", config.d_model, config.d_ff, Bias::kNone),
      wi_1_(scope / "layer" / 1 / "DenseReluDense" / "wi_1", config.d_model, config.d_ff, Bias::kNone),
      wo_(scope / "layer" / 1 / "DenseReluDense" / "wo", config.d_ff, config.d_model, Bias::kNone),
      heads_(config.num_heads) {}

at::Tensor T5EncoderModel::Block::operator()(const at::Tensor& hidden_states, const at::Tensor& bias,
                                             const RunContext& ctx) const {
  offload_handle_.make_resident();
  const auto attended = hidden_states + attend(attention_norm_(hidden_states), bias, ctx);
  return attended + feed_forward(feed_forward_norm_(attended), ctx);
}

at::Tensor T5EncoderModel::Block::attend(const at::Tensor& normed, const at::Tensor& bias,
                                         const RunContext& ctx) const {
  const auto query = q_(normed, ctx), key = k_(normed, ctx), value = v_(normed, ctx);
  return o_(multi_head_attention(query, key, value, heads_, bias, AttentionMask::kNone, /*scale=*/1.0), ctx);
}

at::Tensor T5EncoderModel::Block::feed_forward(const at::Tensor& normed, const RunContext& ctx) const {
  auto gate = activate_in_place(Activation::kGeluTanh, wi_0_(normed, ctx));  // [B, L, d_ff]
  if (gate.scalar_type() == at::kHalf) gate = gate.to(at::kFloat);
  return wo_(gate.mul_(wi_1_(normed, ctx)), ctx);
}

T5EncoderModel::T5EncoderModel(const T5EncoderConfig& config, const ModuleScope& scope)
    : config_(config),
      offload_handle_(scope.offload_handle()),
      layer_table_(scope.layers()),
      dtype_(scope.placement().dtype),
      embedding_(embedding_scope(scope), config.vocab_size, config.d_model),
      relative_attention_bias_(
          scope / "encoder" / "block" / 0 / "layer" / 0 / "SelfAttention" / "relative_attention_bias",
          config.relative_attention_num_buckets, config.num_heads),
      final_layer_norm_(scope / "encoder" / "final_layer_norm", config.d_model, config.layer_norm_epsilon) {
  for (std::int64_t i = 0; i < config.num_layers; ++i) blocks_.emplace_back(scope / "encoder" / "block" / i, config);
}

at::Tensor T5EncoderModel::position_bias(std::int64_t length, c10::Device device) const {
  const auto buckets = relative_position_buckets(length, config_);
  const auto bias = relative_attention_bias_(upload(buckets, device, at::kLong));
  return bias.permute({2, 0, 1}).unsqueeze(0).contiguous();  // [1, num_heads, L, L]
}

at::Tensor T5EncoderModel::operator()(const at::Tensor& input_ids, const at::Tensor& attention_mask,
                                      const RunContext& ctx) const {
  if (input_ids.size(1) < 1) throw Error(ErrorCode::kInvalidArgument, "text encoder: there are no tokens");
  offload_handle_.make_resident();
  auto hidden_states = embedding_(input_ids);  // [B, L, d_model]
  if (dtype_ == at::kHalf) hidden_states = hidden_states.to(at::kFloat);
  auto bias = position_bias(input_ids.size(1), input_ids.device());
  if (attention_mask.defined()) {
    const auto hidden = attention_mask.logical_not().unsqueeze(1).unsqueeze(1);  // [B, 1, 1, L]
    bias = bias.masked_fill(hidden, -std::numeric_limits<double>::infinity());
  }
  for (const auto& block : blocks_) {
    ctx.throw_if_cancelled();
    hidden_states = block(hidden_states, bias, ctx);
  }
  return final_layer_norm_(hidden_states);
}

}  // namespace easel
