#include "models/text_encoders/qwen3_text_model.h"

#include <ATen/ops/arange.h>

#include <string>

#include "core/text.h"
#include "models/config_reading.h"
#include "nn/attention.h"

namespace easel {
namespace {

constexpr std::int64_t kMaxQwenVocabulary = 1 << 22;
constexpr GatedMlpNames kQwenMlp{.gate = "gate_proj", .up = "up_proj", .down = "down_proj"};

// Fields for text generation, for training and for transformers' own bookkeeping.
void ignore_generation_fields(Config& config) {
  config.ignore({"architectures",
                 "attention_dropout",
                 "bos_token_id",
                 "chunk_size_feed_forward",
                 "dtype",
                 "eos_token_id",
                 "id2label",
                 "initializer_range",
                 "is_encoder_decoder",
                 "label2id",
                 "max_position_embeddings",
                 "max_window_layers",
                 "output_attentions",
                 "output_hidden_states",
                 "pad_token_id",
                 "problem_type",
                 "return_dict",
                 "sliding_window",
                 "tie_word_embeddings",
                 "torch_dtype",
                 "transformers_version",
                 "use_cache"});
}

/// transformers 5 writes `rope_parameters`; earlier versions wrote `rope_theta`.
double read_rope_theta(Config& config, double fallback) {
  config.require("rope_scaling", {});
  const double old = config.get<double>("rope_theta", fallback);
  if (!config.has("rope_parameters")) return old;
  Config parameters(config.raw("rope_parameters"), config.where() + ": rope_parameters");
  parameters.require("rope_type", {"default"});
  const double theta = parameters.get<double>("rope_theta", old);
  parameters.finish();
  return theta;
}

void check_layer_types(Config& config) {
  for (const auto& type : config.get<std::vector<std::string>>("layer_types", {})) {
    if (type == "full_attention") continue;
    throw unsupported_field(config, "layer_types", "is not supported; easel supports full_attention");
  }
}

ModuleScope model_scope(const ModuleScope& scope) {
  return scope.has("model.embed_tokens.weight") ? scope / "model" : scope;
}

void skip_layer(const ModuleScope& layer) {
  for (const char* name :
       {"input_layernorm", "post_attention_layernorm", "self_attn.q_norm", "self_attn.k_norm", "self_attn.q_proj",
        "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"}) {
    layer.skip(std::string(name) + ".weight");
  }
}

/// Gives every head of the queries a head of the keys of its own. [B, L, kv, D] -> [B, L, kv * times, D]
at::Tensor repeat_heads(const at::Tensor& x, std::int64_t times) {
  if (times == 1) return x;
  return x.unsqueeze(3).expand({-1, -1, -1, times, -1}).flatten(2, 3);
}

/// bool [L, L]: the tokens up to each one, of the first `length`. Undefined if that is all.
at::Tensor padding_mask(const at::Tensor& input_ids, std::int64_t length) {
  const auto all = input_ids.size(1);
  if (length < 1 || length > all) {
    throw Error(ErrorCode::kInvalidArgument, concat("text encoder: `length` is ", length, " of ", all, " tokens"));
  }
  if (length == all) return {};
  const auto index = at::arange(all, input_ids.options());
  return index.unsqueeze(0).le(index.unsqueeze(1)).logical_and(index.lt(length).unsqueeze(0));
}

}  // namespace

Qwen3TextConfig Qwen3TextConfig::from(Config& config) {
  Qwen3TextConfig c;
  config.require("model_type", {"qwen3"});
  config.require("hidden_act", {"silu"});
  config.require("attention_bias", {false});
  config.require("use_sliding_window", {false});
  c.vocab_size = get_in_range(config, "vocab_size", c.vocab_size, 1, kMaxQwenVocabulary);
  c.hidden_size = get_in_range(config, "hidden_size", c.hidden_size, 1, kMaxChannels);
  c.intermediate_size = get_in_range(config, "intermediate_size", c.intermediate_size, 1, kMaxChannels);
  c.num_hidden_layers = get_in_range(config, "num_hidden_layers", c.num_hidden_layers, 2, kMaxLayers);
  c.num_attention_heads = get_in_range(config, "num_attention_heads", c.num_attention_heads, 1, kMaxChannels);
  c.num_key_value_heads = get_in_range(config, "num_key_value_heads", c.num_key_value_heads, 1, kMaxChannels);
  c.head_dim = get_in_range(config, "head_dim", c.head_dim, 2, kMaxChannels);
  if (c.num_attention_heads % c.num_key_value_heads != 0) {
    throw invalid_field(config, "num_key_value_heads",
                        concat("does not divide `num_attention_heads` = ", c.num_attention_heads));
  }
  if (c.head_dim % 2 != 0) throw invalid_field(config, "head_dim", "is not even");
  c.rms_norm_eps = config.get<double>("rms_norm_eps", c.rms_norm_eps);
  c.rope_theta = read_rope_theta(config, c.rope_theta);
  check_layer_types(config);
  ignore_generation_fields(config);
  config.finish();
  return c;
}

Qwen3TextModel::DecoderLayer::DecoderLayer(const ModuleScope& scope, const Qwen3TextConfig& config)
    : offload_handle_(scope.offload_handle()),
      input_layernorm_(scope / "input_layernorm", config.hidden_size, config.rms_norm_eps),
      post_attention_layernorm_(scope / "post_attention_layernorm", config.hidden_size, config.rms_norm_eps),
      q_norm_(scope / "self_attn" / "q_norm", config.head_dim, config.rms_norm_eps),
      k_norm_(scope / "self_attn" / "k_norm", config.head_dim, config.rms_norm_eps),
      q_proj_(scope / "self_attn" / "q_proj", config.hidden_size, config.num_attention_heads * config.head_dim,
              Bias::kNone),
      k_proj_(scope / "self_attn" / "k_proj", config.hidden_size, config.num_key_value_heads * config.head_dim,
              Bias::kNone),
      v_proj_(scope / "self_attn" / "v_proj", config.hidden_size, config.num_key_value_heads * config.head_dim,
              Bias::kNone),
      o_proj_(scope / "self_attn" / "o_proj", config.num_attention_heads * config.head_dim, config.hidden_size,
              Bias::kNone),
      mlp_(scope / "mlp", kQwenMlp, config.hidden_size, config.intermediate_size),
      heads_(config.num_attention_heads),
      key_value_heads_(config.num_key_value_heads) {}

at::Tensor Qwen3TextModel::DecoderLayer::operator()(const at::Tensor& hidden_states, const RotaryTable& rotary,
                                                    const at::Tensor& mask, const RunContext& ctx) const {
  offload_handle_.make_resident();
  const auto attended = attend(input_layernorm_(hidden_states), rotary, mask, ctx).add_(hidden_states);
  return mlp_(post_attention_layernorm_(attended), ctx).add_(attended);
}

at::Tensor Qwen3TextModel::DecoderLayer::attend(const at::Tensor& normed, const RotaryTable& rotary,
                                                const at::Tensor& mask, const RunContext& ctx) const {
  const auto times = heads_ / key_value_heads_;
  const auto query = rotate_halves(q_norm_(q_proj_(normed, ctx).unflatten(-1, {heads_, -1})), rotary);
  const auto key = rotate_halves(k_norm_(k_proj_(normed, ctx).unflatten(-1, {key_value_heads_, -1})), rotary);
  const auto value = v_proj_(normed, ctx).unflatten(-1, {key_value_heads_, -1});
  return o_proj_(
      multi_head_attention(query.flatten(2), repeat_heads(key, times).flatten(2), repeat_heads(value, times).flatten(2),
                           heads_, mask, mask.defined() ? AttentionMask::kNone : AttentionMask::kCausal),
      ctx);
}

Qwen3TextModel::Qwen3TextModel(const Qwen3TextConfig& config, std::int64_t layers, const ModuleScope& scope)
    : config_(config),
      offload_handle_(scope.offload_handle()),
      layer_table_(scope.layers()),
      embed_tokens_(model_scope(scope) / "embed_tokens", config.vocab_size, config.hidden_size) {
  const auto model = model_scope(scope);
  for (std::int64_t i = 0; i < layers; ++i) layers_.emplace_back(model / "layers" / i, config);
  for (std::int64_t i = layers; i < config.num_hidden_layers; ++i) skip_layer(model / "layers" / i);
  model.skip("norm.weight");
  scope.skip("lm_head.weight");
}

std::vector<at::Tensor> Qwen3TextModel::operator()(const at::Tensor& input_ids, std::span<const std::int64_t> wanted,
                                                   const RunContext& ctx, std::optional<std::int64_t> length) const {
  if (input_ids.size(1) < 1) throw Error(ErrorCode::kInvalidArgument, "text encoder: there are no tokens");
  offload_handle_.make_resident();
  auto hidden_states = embed_tokens_(input_ids);  // [B, L, hidden_size]
  auto rotary = text_rotary_table(input_ids.size(1), config_.head_dim, config_.rope_theta, hidden_states.device());
  rotary = {.cos = rotary.cos.to(hidden_states.scalar_type()), .sin = rotary.sin.to(hidden_states.scalar_type())};
  const auto mask = padding_mask(input_ids, length.value_or(input_ids.size(1)));
  std::vector<at::Tensor> found;
  for (std::int64_t i = 0; found.size() < wanted.size(); ++i) {
    if (wanted[found.size()] == i) found.push_back(hidden_states);
    if (found.size() == wanted.size()) break;
    ctx.throw_if_cancelled();
    hidden_states = layers_.at(static_cast<std::size_t>(i))(hidden_states, rotary, mask, ctx);
  }
  return found;
}

}  // namespace easel
