// Stable Diffusion 3's own names, after convert_sd3_transformer_checkpoint_to_diffusers of diffusers 0.42.1.
#include <cmath>

#include "checkpoints/layouts/denoiser_file.h"
#include "core/text.h"
#include "easel/error.h"

namespace easel {
namespace {

constexpr char kSd3Clip[] = "CLIPTextModelWithProjection";
constexpr std::int64_t kSd3Head = 64;  // channels of a head in every model

constexpr LayerSpelling kSd3Ends[] = {{"x_embedder.proj.", "pos_embed.proj."},
                                      {"t_embedder.mlp.0.", "time_text_embed.timestep_embedder.linear_1."},
                                      {"t_embedder.mlp.2.", "time_text_embed.timestep_embedder.linear_2."},
                                      {"y_embedder.mlp.0.", "time_text_embed.text_embedder.linear_1."},
                                      {"y_embedder.mlp.2.", "time_text_embed.text_embedder.linear_2."},
                                      {"final_layer.linear.", "proj_out."}};
constexpr LayerSpelling kSd3Block[] = {{"x_block.attn.ln_q.", "attn.norm_q."},
                                       {"x_block.attn.ln_k.", "attn.norm_k."},
                                       {"context_block.attn.ln_q.", "attn.norm_added_q."},
                                       {"context_block.attn.ln_k.", "attn.norm_added_k."},
                                       {"x_block.attn2.ln_q.", "attn2.norm_q."},
                                       {"x_block.attn2.ln_k.", "attn2.norm_k."},
                                       {"x_block.attn.proj.", "attn.to_out.0."},
                                       {"x_block.attn2.proj.", "attn2.to_out.0."},
                                       {"context_block.attn.proj.", "attn.to_add_out."},
                                       {"x_block.adaLN_modulation.1.", "norm1.linear."},
                                       {"context_block.adaLN_modulation.1.", "norm1_context.linear."},
                                       {"x_block.mlp.fc1.", "ff.net.0.proj."},
                                       {"x_block.mlp.fc2.", "ff.net.2."},
                                       {"context_block.mlp.fc1.", "ff_context.net.0.proj."},
                                       {"context_block.mlp.fc2.", "ff_context.net.2."}};
constexpr BlockSpelling kSd3Blocks[] = {{"joint_blocks.", "transformer_blocks.", kSd3Block}};

bool is_sd3(const NameSet& names, const std::string& prefix) {
  return names.has(prefix + "joint_blocks.0.context_block.adaLN_modulation.1.bias") ||
         (names.has(prefix + "pos_embed.pos_embed") &&
          names.has(prefix + "transformer_blocks.0.attn.add_q_proj.weight"));
}

bool is_sd3_fused(const std::string& name) {
  return name.find("_block.attn") != std::string::npos && name.find(".qkv.") != std::string::npos;
}

std::string sd3_name(const std::string& rest) {
  if (rest == "pos_embed") return "pos_embed.pos_embed";
  if (is_sd3_fused(rest) || rest.starts_with("final_layer.adaLN_modulation.1.")) return "";
  return respelled(rest, kSd3Ends, kSd3Blocks);
}

void add_sd3_fused(OriginalNames& names, const std::string& stored, const std::string& rest, const std::string& kind) {
  constexpr std::string_view kBlocks = "joint_blocks.";
  const auto number = rest.substr(kBlocks.size(), rest.find('.', kBlocks.size()) - kBlocks.size());
  const bool text = rest.find("context_block.") != std::string::npos;
  const auto layer =
      concat("transformer_blocks.", number, rest.find("attn2.") != std::string::npos ? ".attn2." : ".attn.");
  add_fused(names, stored, concat(layer, text ? "add_q_proj." : "to_q.", kind),
            concat(layer, text ? "add_k_proj." : "to_k.", kind), concat(layer, text ? "add_v_proj." : "to_v.", kind));
}

OriginalNames sd3_names(const TensorStore& file, const std::string& prefix) {
  using Form = OriginalTensor::Form;
  auto names = renamed_tensors(file, prefix, &sd3_name);
  const auto blocks = NameSet(file).count(prefix + "joint_blocks.");
  for (const auto& stored : file.names()) {
    const auto rest = stored.starts_with(prefix) ? stored.substr(prefix.size()) : "";
    const auto kind = rest.substr(rest.rfind('.') + 1);
    if (rest.starts_with("final_layer.adaLN_modulation.1."))
      names["norm_out.linear." + kind] = {stored, Form::kSwapped};
    if (is_sd3_fused(rest)) add_sd3_fused(names, stored, rest, kind);
  }
  // The text of the last block only feeds the attention, so that its norm has no gates.
  for (const char* kind : {"weight", "bias"}) {
    const auto last = names.find(concat("transformer_blocks.", blocks - 1, ".norm1_context.linear.", kind));
    if (blocks > 0 && last != names.end()) last->second.form = Form::kSwapped;
  }
  return names;
}

nlohmann::json sd3_config(const TensorStore& weights) {
  const NameSet names(weights);
  const auto width = required_shape(weights, "transformer_blocks.0.attn.to_q.weight", 2)[0];
  const auto patches = required_shape(weights, "pos_embed.proj.weight", 4);
  const auto positions = required_shape(weights, "pos_embed.pos_embed", 3)[1];
  const auto edge = static_cast<std::int64_t>(std::lround(std::sqrt(static_cast<double>(positions))));
  if (width % kSd3Head != 0 || edge * edge != positions) {
    throw Error(
        ErrorCode::kUnsupported,
        concat(weights.where(), " is a Stable Diffusion 3 of ", width, " channels and ", positions, " positions, of ",
               "which a file does not tell the rest; name a folder with its configs as `configs`"));
  }
  const auto layers = names.count("transformer_blocks.");
  std::vector<std::int64_t> dual;
  for (std::int64_t i = 0; i < layers; ++i) {
    if (names.has(concat("transformer_blocks.", i, ".attn2.to_q.weight"))) dual.push_back(i);
  }
  nlohmann::json config{
      {"_class_name", "SD3Transformer2DModel"},
      {"sample_size", 128},
      {"patch_size", patches[2]},
      {"in_channels", patches[1]},
      {"out_channels", required_shape(weights, "proj_out.weight", 2)[0] / (patches[2] * patches[3])},
      {"num_layers", layers},
      {"attention_head_dim", kSd3Head},
      {"num_attention_heads", width / kSd3Head},
      {"caption_projection_dim", width},
      {"joint_attention_dim", required_shape(weights, "context_embedder.weight", 2)[1]},
      {"pooled_projection_dim", required_shape(weights, "time_text_embed.text_embedder.linear_1.weight", 2)[1]},
      {"pos_embed_max_size", edge},
      {"dual_attention_layers", dual}};
  config["qk_norm"] =
      names.has("transformer_blocks.0.attn.norm_q.weight") ? nlohmann::json("rms_norm") : nlohmann::json();
  return config;
}

nlohmann::json sd3_scheduler(const TensorStore&) {
  return {{"_class_name", "FlowMatchEulerDiscreteScheduler"}, {"num_train_timesteps", 1000}, {"shift", 3.0}};
}

}  // namespace

const ComponentLayout kSd3Layout{
    .class_name = "SD3Transformer2DModel", .fits = &is_sd3, .names = &sd3_names, .config = &sd3_config};

DenoiserFile sd3_file() {
  return {.name = "Stable Diffusion 3",
          .class_name = "StableDiffusion3Pipeline",
          .denoiser_class = "SD3Transformer2DModel",
          .text_encoders = {{.component = Component::kTextEncoder,
                             .class_name = kSd3Clip,
                             .tokenizer_class = "CLIPTokenizer",
                             .prefix = "text_encoders.clip_l.transformer."},
                            {.component = Component::kTextEncoder2,
                             .class_name = kSd3Clip,
                             .tokenizer_class = "CLIPTokenizer",
                             .prefix = "text_encoders.clip_g.transformer."},
                            {.component = Component::kTextEncoder3,
                             .class_name = "T5EncoderModel",
                             .tokenizer_class = "T5Tokenizer",
                             .may_be_absent = true,
                             .prefix = "text_encoders.t5xxl.transformer."}},
          .scheduler = &sd3_scheduler,
          .vae = {{"scaling_factor", 1.5305}, {"shift_factor", 0.0609}, {"force_upcast", true}, {"sample_size", 1024}}};
}

}  // namespace easel
