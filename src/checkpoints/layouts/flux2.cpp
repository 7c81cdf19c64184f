// FLUX.2's own names, after convert_flux2_transformer_checkpoint_to_diffusers of diffusers 0.42.1.
#include <algorithm>
#include <utility>

#include "checkpoints/layouts/denoiser_file.h"
#include "core/text.h"
#include "easel/error.h"

namespace easel {
namespace {

constexpr std::int64_t kFlux2Head = 128;  // channels of a head, of the published models

constexpr LayerSpelling kFlux2Ends[] = {{"img_in.", "x_embedder."},
                                        {"txt_in.", "context_embedder."},
                                        {"time_in.in_layer.", "time_guidance_embed.timestep_embedder.linear_1."},
                                        {"time_in.out_layer.", "time_guidance_embed.timestep_embedder.linear_2."},
                                        {"guidance_in.in_layer.", "time_guidance_embed.guidance_embedder.linear_1."},
                                        {"guidance_in.out_layer.", "time_guidance_embed.guidance_embedder.linear_2."},
                                        {"double_stream_modulation_img.lin.", "double_stream_modulation_img.linear."},
                                        {"double_stream_modulation_txt.lin.", "double_stream_modulation_txt.linear."},
                                        {"single_stream_modulation.lin.", "single_stream_modulation.linear."},
                                        {"final_layer.linear.", "proj_out."}};
constexpr LayerSpelling kFlux2Double[] = {{"img_attn.norm.query_norm.scale", "attn.norm_q.weight"},
                                          {"img_attn.norm.key_norm.scale", "attn.norm_k.weight"},
                                          {"txt_attn.norm.query_norm.scale", "attn.norm_added_q.weight"},
                                          {"txt_attn.norm.key_norm.scale", "attn.norm_added_k.weight"},
                                          {"img_attn.proj.", "attn.to_out.0."},
                                          {"txt_attn.proj.", "attn.to_add_out."},
                                          {"img_mlp.0.", "ff.linear_in."},
                                          {"img_mlp.2.", "ff.linear_out."},
                                          {"txt_mlp.0.", "ff_context.linear_in."},
                                          {"txt_mlp.2.", "ff_context.linear_out."}};
constexpr LayerSpelling kFlux2Single[] = {{"norm.query_norm.scale", "attn.norm_q.weight"},
                                          {"norm.key_norm.scale", "attn.norm_k.weight"},
                                          {"linear1.", "attn.to_qkv_mlp_proj."},
                                          {"linear2.", "attn.to_out."}};
constexpr BlockSpelling kFlux2Blocks[] = {{"double_blocks.", "transformer_blocks.", kFlux2Double},
                                          {"single_blocks.", "single_transformer_blocks.", kFlux2Single}};

bool is_flux2(const NameSet& names, const std::string& prefix) {
  return names.has(prefix + "single_stream_modulation.lin.weight") ||
         names.has(prefix + "single_stream_modulation.linear.weight");
}

bool is_flux2_fused(const std::string& name) {
  return name.find("_attn.qkv.") != std::string::npos;
}

std::string flux2_name(const std::string& rest) {
  if (is_flux2_fused(rest) || rest.starts_with("final_layer.adaLN_modulation.1.")) return "";
  return respelled(rest, kFlux2Ends, kFlux2Blocks);
}

OriginalNames flux2_names(const TensorStore& file, const std::string& prefix) {
  constexpr std::string_view kBlock = "double_blocks.";
  auto names = renamed_tensors(file, prefix, &flux2_name);
  for (const auto& stored : file.names()) {
    const auto rest = stored.starts_with(prefix) ? stored.substr(prefix.size()) : "";
    const auto kind = rest.substr(rest.rfind('.') + 1);
    if (rest.starts_with("final_layer.adaLN_modulation.1.")) {
      names["norm_out.linear." + kind] = {.name = stored, .form = OriginalTensor::Form::kSwapped};
    }
    if (!is_flux2_fused(rest)) continue;
    const auto number = rest.substr(kBlock.size(), rest.find('.', kBlock.size()) - kBlock.size());
    const auto block = concat("transformer_blocks.", number, ".attn.");
    const bool text = rest.find("txt_attn.") != std::string::npos;
    add_fused(names, stored, concat(block, text ? "add_q_proj." : "to_q.", kind),
              concat(block, text ? "add_k_proj." : "to_k.", kind), concat(block, text ? "add_v_proj." : "to_v.", kind));
  }
  return names;
}

nlohmann::json flux2_config(const TensorStore& weights) {
  const NameSet names(weights);
  const auto dim = required_shape(weights, "transformer_blocks.0.attn.to_q.weight", 2)[0];
  const auto head = required_shape(weights, "transformer_blocks.0.attn.norm_q.weight", 1)[0];
  const auto hidden = required_shape(weights, "transformer_blocks.0.ff.linear_out.weight", 2)[1];
  if (head != kFlux2Head || dim % head != 0) {
    throw Error(ErrorCode::kUnsupported, concat(weights.where(), " is a FLUX.2 with heads of ", head,
                                                " channels, of which a file does not tell ",
                                                "the rest; name a folder with its configs as `configs`"));
  }
  return {{"_class_name", "Flux2Transformer2DModel"},
          {"patch_size", 1},
          {"in_channels", required_shape(weights, "x_embedder.weight", 2)[1]},
          {"num_layers", names.count("transformer_blocks.")},
          {"num_single_layers", names.count("single_transformer_blocks.")},
          {"attention_head_dim", head},
          {"num_attention_heads", dim / head},
          {"joint_attention_dim", required_shape(weights, "context_embedder.weight", 2)[1]},
          {"mlp_ratio", static_cast<double>(hidden) / static_cast<double>(dim)},
          {"axes_dims_rope", {32, 32, 32, 32}},
          {"rope_theta", 2000},
          {"eps", 1e-6},
          {"guidance_embeds", weights.find("time_guidance_embed.guidance_embedder.linear_1.weight") != nullptr}};
}

constexpr char kFlux2VaeBlocks[] = "encoder.down_blocks.";

bool is_flux2_vae(const NameSet& names, const std::string& prefix) {
  const bool has_halves =
      names.has_prefix(concat(prefix, "encoder.down.")) || names.has_prefix(prefix + kFlux2VaeBlocks);
  return has_halves && names.has(prefix + "bn.running_mean");
}

/// The original keeps the outer convolutions in the halves of the model.
OriginalNames flux2_vae_names(const TensorStore& file, const std::string& prefix) {
  const auto unchanged = [](const std::string& rest) { return rest; };
  const NameSet stored(file);
  if (stored.has_prefix(prefix + kFlux2VaeBlocks)) return renamed_tensors(file, prefix, unchanged);
  auto names = original_vae_names(original_vae_layout(stored, prefix), prefix);
  for (const char* kind : {"weight", "bias"}) {
    for (const auto& [half, layer] : {std::pair{"encoder.", "quant_conv."}, {"decoder.", "post_quant_conv."}}) {
      const auto original = concat(prefix, half, layer, kind);
      if (stored.has(original)) names[concat(layer, kind)] = {.name = original};
    }
  }
  for (const char* statistic : {"bn.running_mean", "bn.running_var", "bn.num_batches_tracked"}) {
    if (stored.has(prefix + statistic)) names[statistic] = {.name = prefix + statistic};
  }
  return names;
}

std::vector<std::int64_t> flux2_vae_widths(const TensorStore& weights, const std::string& blocks, std::int64_t count) {
  std::vector<std::int64_t> widths;
  for (std::int64_t i = 0; i < count; ++i) {
    widths.push_back(required_shape(weights, concat(blocks, i, ".resnets.0.conv1.weight"), 4)[0]);
  }
  return widths;
}

nlohmann::json flux2_vae_config(const TensorStore& weights) {
  const NameSet names(weights);
  const auto levels = names.count(kFlux2VaeBlocks);
  auto decoder = flux2_vae_widths(weights, "decoder.up_blocks.", levels);
  std::reverse(decoder.begin(), decoder.end());
  return {{"_class_name", "AutoencoderKLFlux2"},
          {"in_channels", required_shape(weights, "encoder.conv_in.weight", 4)[1]},
          {"out_channels", required_shape(weights, "decoder.conv_out.weight", 4)[0]},
          {"latent_channels", required_shape(weights, "decoder.conv_in.weight", 4)[1]},
          {"block_out_channels", flux2_vae_widths(weights, kFlux2VaeBlocks, levels)},
          {"decoder_block_out_channels", decoder},
          {"down_block_types", std::vector<std::string>(static_cast<std::size_t>(levels), "DownEncoderBlock2D")},
          {"up_block_types", std::vector<std::string>(static_cast<std::size_t>(levels), "UpDecoderBlock2D")},
          {"layers_per_block", names.count(concat(kFlux2VaeBlocks, "0.resnets."))},
          {"use_quant_conv", names.has("quant_conv.weight")},
          {"use_post_quant_conv", names.has("post_quant_conv.weight")}};
}

nlohmann::json flux2_scheduler(const TensorStore&) {
  return {{"_class_name", "FlowMatchEulerDiscreteScheduler"},
          {"num_train_timesteps", 1000},
          {"base_image_seq_len", 256},
          {"max_image_seq_len", 4096},
          {"base_shift", 0.5},
          {"max_shift", 1.15},
          {"use_dynamic_shifting", true},
          {"shift", 3.0}};
}

}  // namespace

const ComponentLayout kFlux2Layout{
    .class_name = "Flux2Transformer2DModel", .fits = &is_flux2, .names = &flux2_names, .config = &flux2_config};

const ComponentLayout kFlux2VaeLayout{
    .class_name = "AutoencoderKLFlux2", .fits = &is_flux2_vae, .names = &flux2_vae_names, .config = &flux2_vae_config};

/// Distilled models have the same tensors as base models; a folder of `configs` says which of the two a file is.
DenoiserFile flux2_klein_file() {
  return {.name = "FLUX.2 klein",
          .class_name = "Flux2KleinPipeline",
          .denoiser_class = "Flux2Transformer2DModel",
          .text_encoders = {{.component = Component::kTextEncoder,
                             .class_name = "Qwen3ForCausalLM",
                             .tokenizer_class = "Qwen2TokenizerFast"}},
          .scheduler = &flux2_scheduler,
          .vae = nlohmann::json::object(),
          .vae_class = "AutoencoderKLFlux2"};
}

}  // namespace easel
