#include "models/text_encoders/clip_text_model.h"

#include <ATen/ops/argmax.h>
#include <ATen/ops/gather.h>

#include <algorithm>
#include <utility>

#include "core/text.h"
#include "models/config_reading.h"
#include "nn/attention.h"

namespace easel {
namespace {

constexpr std::int64_t kMaxVocabulary = 1 << 22;
// Checkpoints older than transformers PR 24773 say 2 and mean "the largest id of the row".
constexpr std::int64_t kLegacyEosTokenId = 2;

Activation hidden_activation(Config& config) {
  const auto name = config.get<std::string>("hidden_act", "quick_gelu");
  if (name == "quick_gelu") return Activation::kQuickGelu;
  if (name == "gelu") return Activation::kGelu;
  throw unsupported_field(config, "hidden_act", "is not supported; easel supports quick_gelu and gelu");
}

bool has_projection(Config& config) {
  const auto names = config.get<std::vector<std::string>>("architectures", {"CLIPTextModel"});
  for (const auto& name : names) {
    if (name != "CLIPTextModel" && name != "CLIPTextModelWithProjection") {
      throw unsupported_field(config, "architectures", "is not a CLIP text encoder");
    }
  }
  return std::find(names.begin(), names.end(), "CLIPTextModelWithProjection") != names.end();
}

// Fields for training, for text generation and for transformers' own bookkeeping.
void ignore_training_fields(Config& config) {
  config.ignore({"attention_dropout",
                 "dropout",
                 "initializer_factor",
                 "initializer_range",
                 "bos_token_id",
                 "pad_token_id",
                 "torch_dtype",
                 "dtype",
                 "transformers_version",
                 "return_dict",
                 "use_cache",
                 "output_attentions",
                 "output_hidden_states",
                 "gradient_checkpointing",
                 "torchscript",
                 "id2label",
                 "label2id",
                 "problem_type",
                 "is_encoder_decoder",
                 "is_decoder",
                 "add_cross_attention",
                 "tie_word_embeddings",
                 "chunk_size_feed_forward"});
}

// The module was called text_model inside CLIPTextModel until transformers 5.
ModuleScope text_scope(const ModuleScope& scope) {
  return scope.has("text_model.embeddings.token_embedding.weight") ? scope / "text_model" : scope;
}

}  // namespace

CLIPTextConfig CLIPTextConfig::from(Config& config) {
  CLIPTextConfig c;
  config.require("model_type", {"clip_text_model"});
  config.require("is_causal", {true});
  c.vocab_size = get_in_range(config, "vocab_size", c.vocab_size, 1, kMaxVocabulary);
  c.hidden_size = get_in_range(config, "hidden_size", c.hidden_size, 1, kMaxChannels);
  c.intermediate_size = get_in_range(config, "intermediate_size", c.intermediate_size, 1, kMaxChannels);
  c.projection_dim = get_in_range(config, "projection_dim", c.projection_dim, 1, kMaxChannels);
  c.num_hidden_layers = get_in_range(config, "num_hidden_layers", c.num_hidden_layers, 1, kMaxLayers);
  c.num_attention_heads = get_in_range(config, "num_attention_heads", c.num_attention_heads, 1, kMaxChannels);
  if (c.hidden_size % c.num_attention_heads != 0) {
    throw invalid_field(config, "num_attention_heads", concat("does not divide `hidden_size` = ", c.hidden_size));
  }
  c.max_position_embeddings =
      get_in_range(config, "max_position_embeddings", c.max_position_embeddings, 1, kMaxChannels);
  c.hidden_act = hidden_activation(config);
  c.layer_norm_eps = config.get<double>("layer_norm_eps", c.layer_norm_eps);
  c.eos_token_id = config.get<std::int64_t>("eos_token_id", c.eos_token_id);
  c.with_projection = has_projection(config);
  ignore_training_fields(config);
  config.finish();
  return c;
}

CLIPTextModel::EncoderLayer::EncoderLayer(const ModuleScope& scope, const CLIPTextConfig& config)
    : layer_norm1_(scope / "layer_norm1", config.hidden_size, config.layer_norm_eps),
      layer_norm2_(scope / "layer_norm2", config.hidden_size, config.layer_norm_eps),
      q_proj_(scope / "self_attn" / "q_proj", config.hidden_size, config.hidden_size),
      k_proj_(scope / "self_attn" / "k_proj", config.hidden_size, config.hidden_size),
      v_proj_(scope / "self_attn" / "v_proj", config.hidden_size, config.hidden_size),
      out_proj_(scope / "self_attn" / "out_proj", config.hidden_size, config.hidden_size),
      fc1_(scope / "mlp" / "fc1", config.hidden_size, config.intermediate_size),
      fc2_(scope / "mlp" / "fc2", config.intermediate_size, config.hidden_size),
      heads_(config.num_attention_heads),
      activation_(config.hidden_act) {}

at::Tensor CLIPTextModel::EncoderLayer::operator()(const at::Tensor& hidden_states, const RunContext& ctx) const {
  const auto attended = attend(layer_norm1_(hidden_states, ctx), ctx).add_(hidden_states);  // [B, L, hidden_size]
  return fc2_(activate_in_place(activation_, fc1_(layer_norm2_(attended, ctx), ctx)), ctx).add_(attended);
}

at::Tensor CLIPTextModel::EncoderLayer::attend(const at::Tensor& normed, const RunContext& ctx) const {
  const auto query = q_proj_(normed, ctx), key = k_proj_(normed, ctx), value = v_proj_(normed, ctx);
  return out_proj_(multi_head_attention(query, key, value, heads_, /*bias=*/{}, AttentionMask::kCausal), ctx);
}

CLIPTextModel::CLIPTextModel(const CLIPTextConfig& config, const ModuleScope& scope)
    : config_(config),
      offload_handle_(scope.offload_handle()),
      layer_table_(scope.layers()),
      token_embedding_(text_scope(scope) / "embeddings" / "token_embedding", config.vocab_size, config.hidden_size),
      position_embedding_(text_scope(scope) / "embeddings" / "position_embedding", config.max_position_embeddings,
                          config.hidden_size),
      final_layer_norm_(text_scope(scope) / "final_layer_norm", config.hidden_size, config.layer_norm_eps) {
  const auto text = text_scope(scope);
  for (std::int64_t i = 0; i < config.num_hidden_layers; ++i)
    layers_.emplace_back(text / "encoder" / "layers" / i, config);
  text.skip("embeddings.position_ids");  // 0, 1, 2, ...; older checkpoints store it
  if (config.with_projection) {
    text_projection_.emplace(scope / "text_projection", config.hidden_size, config.projection_dim, Bias::kNone);
  } else {
    scope.skip("text_projection.weight");
  }
}

CLIPTextOutput CLIPTextModel::operator()(const at::Tensor& input_ids, std::int64_t clip_skip, const RunContext& ctx,
                                         const TokenEmbeddingOverrides& learned) const {
  const auto length = input_ids.size(1);
  if (length < 1 || length > config_.max_position_embeddings) {
    throw Error(ErrorCode::kInvalidArgument,
                concat("text encoder: ", length, " tokens, expected 1 to ", config_.max_position_embeddings));
  }
  if (clip_skip < 0 || clip_skip > config_.num_hidden_layers) {
    throw Error(ErrorCode::kInvalidArgument,
                concat("`clip_skip` is ", clip_skip, ", expected 0 to ", config_.num_hidden_layers), "clip_skip");
  }
  offload_handle_.make_resident();
  CLIPTextOutput out;
  auto hidden_states = embed(input_ids, learned).add_(position_embedding_.first(length));  // [B, L, hidden_size]
  for (std::int64_t i = 0; i < config_.num_hidden_layers; ++i) {
    if (i == config_.num_hidden_layers - clip_skip) out.hidden_state = hidden_states;
    ctx.throw_if_cancelled();
    hidden_states = layers_[i](hidden_states, ctx);
  }
  out.last_hidden_state = final_layer_norm_(hidden_states, ctx);
  if (clip_skip == 0) out.hidden_state = std::move(hidden_states);
  out.prompt_embeds = clip_skip == 0 ? out.last_hidden_state : final_layer_norm_(out.hidden_state, ctx);
  out.pooled_output = pool(out.last_hidden_state, input_ids);
  if (text_projection_) out.text_embeds = (*text_projection_)(out.pooled_output, ctx);
  return out;
}

at::Tensor CLIPTextModel::embed(const at::Tensor& input_ids, const TokenEmbeddingOverrides& learned) const {
  if (!learned.positions.defined()) return token_embedding_(input_ids);
  const auto embeds = token_embedding_(input_ids.clamp_max(config_.vocab_size - 1));  // [B, L, hidden_size]
  embeds.view({-1, config_.hidden_size}).index_copy_(0, learned.positions, learned.vectors.to(embeds.scalar_type()));
  return embeds;
}

at::Tensor CLIPTextModel::pool(const at::Tensor& last_hidden_state, const at::Tensor& input_ids) const {
  const auto scores = config_.eos_token_id == kLegacyEosTokenId
                          ? input_ids.to(at::kInt)
                          : input_ids.eq(config_.eos_token_id).to(at::kInt);  // [B, L]
  const auto position = at::argmax(scores, /*dim=*/-1).view({-1, 1, 1});      // the first of several
  return at::gather(last_hidden_state, /*dim=*/1, position.expand({-1, 1, last_hidden_state.size(2)})).squeeze(1);
}

}  // namespace easel
