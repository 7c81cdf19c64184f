// Text encoders in files of their own: the names of transformers, and llama.cpp's names in GGUF files
// (gguf-py, tensor_mapping.py).
#include <string_view>

#include "checkpoints/layouts/component_layout.h"
#include "core/text.h"
#include "easel/error.h"

namespace easel {
namespace {

struct EncoderSpelling {
  std::string_view llama, transformers;
};
constexpr EncoderSpelling kQwenEnds[] = {
    {"token_embd.", "embed_tokens."}, {"output_norm.", "norm."}, {"output.", "lm_head."}};
constexpr EncoderSpelling kQwenBlock[] = {
    {"attn_q.", "self_attn.q_proj."},      {"attn_k.", "self_attn.k_proj."},
    {"attn_v.", "self_attn.v_proj."},      {"attn_output.", "self_attn.o_proj."},
    {"attn_q_norm.", "self_attn.q_norm."}, {"attn_k_norm.", "self_attn.k_norm."},
    {"attn_norm.", "input_layernorm."},    {"ffn_norm.", "post_attention_layernorm."},
    {"ffn_gate.", "mlp.gate_proj."},       {"ffn_up.", "mlp.up_proj."},
    {"ffn_down.", "mlp.down_proj."}};
constexpr EncoderSpelling kT5Ends[] = {{"token_embd.", "shared."}, {"enc.output_norm.", "encoder.final_layer_norm."}};
constexpr EncoderSpelling kT5Block[] = {{"attn_q.", "layer.0.SelfAttention.q."},
                                        {"attn_k.", "layer.0.SelfAttention.k."},
                                        {"attn_v.", "layer.0.SelfAttention.v."},
                                        {"attn_o.", "layer.0.SelfAttention.o."},
                                        {"attn_rel_b.", "layer.0.SelfAttention.relative_attention_bias."},
                                        {"attn_norm.", "layer.0.layer_norm."},
                                        {"ffn_gate.", "layer.1.DenseReluDense.wi_0."},
                                        {"ffn_up.", "layer.1.DenseReluDense.wi_1."},
                                        {"ffn_down.", "layer.1.DenseReluDense.wo."},
                                        {"ffn_norm.", "layer.1.layer_norm."}};

/// A name of llama.cpp's as one of transformers'; any other name stays.
/// @param block, to  what precedes the number of a block in either
std::string encoder_name(const std::string& rest, std::span<const EncoderSpelling> ends,
                         std::span<const EncoderSpelling> layers, std::string_view block, std::string_view to) {
  for (const auto& [llama, transformers] : ends) {
    if (rest.starts_with(llama)) return concat(transformers, rest.substr(llama.size()));
  }
  if (!rest.starts_with(block)) return rest;
  const auto dot = rest.find('.', block.size());
  if (dot == std::string::npos) return rest;
  const auto number = rest.substr(block.size(), dot - block.size()), layer = rest.substr(dot + 1);
  for (const auto& [llama, transformers] : layers) {
    if (layer.starts_with(llama)) return concat(to, number, '.', transformers, layer.substr(llama.size()));
  }
  return rest;
}

bool is_qwen(const NameSet& names, const std::string& prefix) {
  for (const char* norm :
       {"layers.0.self_attn.q_norm.weight", "model.layers.0.self_attn.q_norm.weight", "blk.0.attn_q_norm.weight"}) {
    if (names.has(prefix + norm)) return true;
  }
  return false;
}

std::string qwen_name(const std::string& rest) {
  constexpr std::string_view kModel = "model.";
  if (rest.starts_with(kModel)) return rest.substr(kModel.size());
  return encoder_name(rest, kQwenEnds, kQwenBlock, "blk.", "layers.");
}

OriginalNames qwen_names(const TensorStore& file, const std::string& prefix) {
  return renamed_tensors(file, prefix, &qwen_name);
}

nlohmann::json qwen_config(const TensorStore& weights) {
  const auto tokens = required_shape(weights, "embed_tokens.weight", 2);
  const auto head = required_shape(weights, "layers.0.self_attn.q_norm.weight", 1)[0];
  return {{"model_type", "qwen3"},
          {"vocab_size", tokens[0]},
          {"hidden_size", tokens[1]},
          {"intermediate_size", required_shape(weights, "layers.0.mlp.gate_proj.weight", 2)[0]},
          {"num_hidden_layers", NameSet(weights).count("layers.")},
          {"num_attention_heads", required_shape(weights, "layers.0.self_attn.q_proj.weight", 2)[0] / head},
          {"num_key_value_heads", required_shape(weights, "layers.0.self_attn.k_proj.weight", 2)[0] / head},
          {"head_dim", head},
          {"rms_norm_eps", 1e-6},
          {"rope_theta", 1e6}};
}

bool is_t5(const NameSet& names, const std::string& prefix) {
  return names.has(prefix + "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight") ||
         names.has(prefix + "enc.blk.0.attn_rel_b.weight");
}

std::string t5_name(const std::string& rest) {
  return encoder_name(rest, kT5Ends, kT5Block, "enc.blk.", "encoder.block.");
}

OriginalNames t5_names(const TensorStore& file, const std::string& prefix) {
  return renamed_tensors(file, prefix, &t5_name);
}

nlohmann::json t5_config(const TensorStore& weights) {
  const auto bias = required_shape(weights, "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", 2);
  const auto query = required_shape(weights, "encoder.block.0.layer.0.SelfAttention.q.weight", 2);
  const bool shared = weights.find("shared.weight") != nullptr;
  return {{"model_type", "t5"},
          {"vocab_size", required_shape(weights, shared ? "shared.weight" : "encoder.embed_tokens.weight", 2)[0]},
          {"d_model", query[1]},
          {"d_kv", query[0] / bias[1]},
          {"d_ff", required_shape(weights, "encoder.block.0.layer.1.DenseReluDense.wi_0.weight", 2)[0]},
          {"num_layers", NameSet(weights).count("encoder.block.")},
          {"num_heads", bias[1]},
          {"relative_attention_num_buckets", bias[0]},
          {"relative_attention_max_distance", 128},
          {"layer_norm_epsilon", 1e-6},
          {"feed_forward_proj", "gated-gelu"}};
}

}  // namespace

const ComponentLayout kQwen3Layout{.class_name = "Qwen3Model",
                                   .other_class_name = "Qwen3ForCausalLM",
                                   .fits = &is_qwen,
                                   .names = &qwen_names,
                                   .config = &qwen_config};

const ComponentLayout kT5Layout{
    .class_name = "T5EncoderModel", .fits = &is_t5, .names = &t5_names, .config = &t5_config};

}  // namespace easel
