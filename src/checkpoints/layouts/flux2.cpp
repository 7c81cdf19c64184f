// FLUX.2's own names, after convert_flux2_transformer_checkpoint_to_diffusers of diffusers 0.42.1.
#include <algorithm>
#include <span>
#include <string_view>
#include <utility>

#include "checkpoints/layouts/denoiser_file.h"
#include "core/text.h"
#include "easel/error.h"

namespace easel {
namespace {

struct Flux2Spelling {
  std::string_view original, diffusers;
};
constexpr Flux2Spelling kFlux2Ends[] = {{"img_in.", "x_embedder."},
                                        {"txt_in.", "context_embedder."},
                                        {"time_in.in_layer.", "time_guidance_embed.timestep_embedder.linear_1."},
                                        {"time_in.out_layer.", "time_guidance_embed.timestep_embedder.linear_2."},
                                        {"guidance_in.in_layer.", "time_guidance_embed.guidance_embedder.linear_1."},
                                        {"guidance_in.out_layer.", "time_guidance_embed.guidance_embedder.linear_2."},
                                        {"double_stream_modulation_img.lin.", "double_stream_modulation_img.linear."},
                                        {"double_stream_modulation_txt.lin.", "double_stream_modulation_txt.linear."},
                                        {"single_stream_modulation.lin.", "single_stream_modulation.linear."},
                                        {"final_layer.linear.", "proj_out."}};
constexpr Flux2Spelling kFlux2Double[] = {{"img_attn.norm.query_norm.scale", "attn.norm_q.weight"},
                                          {"img_attn.norm.key_norm.scale", "attn.norm_k.weight"},
                                          {"img_attn.proj.weight", "attn.to_out.0.weight"},
                                          {"img_mlp.0.weight", "ff.linear_in.weight"},
                                          {"img_mlp.2.weight", "ff.linear_out.weight"},
                                          {"txt_attn.norm.query_norm.scale", "attn.norm_added_q.weight"},
                                          {"txt_attn.norm.key_norm.scale", "attn.norm_added_k.weight"},
                                          {"txt_attn.proj.weight", "attn.to_add_out.weight"},
                                          {"txt_mlp.0.weight", "ff_context.linear_in.weight"},
                                          {"txt_mlp.2.weight", "ff_context.linear_out.weight"}};
constexpr Flux2Spelling kFlux2Single[] = {{"linear1.weight", "attn.to_qkv_mlp_proj.weight"},
                                          {"linear2.weight", "attn.to_out.weight"},
                                          {"norm.query_norm.scale", "attn.norm_q.weight"},
                                          {"norm.key_norm.scale", "attn.norm_k.weight"}};
constexpr std::string_view kFlux2DoubleBlocks = "double_blocks.", kFlux2SingleBlocks = "single_blocks.";
constexpr std::string_view kFlux2Modulation = "final_layer.adaLN_modulation.1.weight";
constexpr std::int64_t kFlux2Head = 128, kFlux2Frequencies = 256;  // of the published models

bool is_flux2(const NameSet& names, const std::string& prefix) {
  return names.has(prefix + "single_stream_modulation.lin.weight") ||
         names.has(prefix + "single_stream_modulation.linear.weight");
}

/// "double_blocks.3.img_mlp.0.weight" -> {"3", "img_mlp.0.weight"}; empty for other names.
std::pair<std::string_view, std::string_view> flux2_block_and_rest(std::string_view name, std::string_view stack) {
  if (!name.starts_with(stack)) return {};
  name.remove_prefix(stack.size());
  const auto dot = name.find('.');
  if (dot == std::string_view::npos) return {};
  return {name.substr(0, dot), name.substr(dot + 1)};
}

std::string in_flux2_block(std::string_view name, std::string_view stack, const char* diffusers,
                           std::span<const Flux2Spelling> spellings) {
  const auto [block, rest] = flux2_block_and_rest(name, stack);
  for (const auto& spelling : spellings) {
    if (rest == spelling.original) return concat(diffusers, block, '.', spelling.diffusers);
  }
  return "";
}

/// Empty for fused and swapped tensors, which flux2_names adds. Other names are those of diffusers.
std::string flux2_name(const std::string& rest) {
  for (const auto& [original, diffusers] : kFlux2Ends) {
    if (rest.starts_with(original)) return concat(diffusers, rest.substr(original.size()));
  }
  if (rest.starts_with(kFlux2DoubleBlocks)) {
    return in_flux2_block(rest, kFlux2DoubleBlocks, "transformer_blocks.", kFlux2Double);
  }
  if (rest.starts_with(kFlux2SingleBlocks)) {
    return in_flux2_block(rest, kFlux2SingleBlocks, "single_transformer_blocks.", kFlux2Single);
  }
  return rest == kFlux2Modulation ? "" : rest;
}

OriginalNames flux2_names(const TensorStore& file, const std::string& prefix) {
  auto names = renamed_tensors(file, prefix, &flux2_name);
  for (const auto& stored : file.names()) {
    if (!stored.starts_with(prefix)) continue;
    const auto own = std::string_view(stored).substr(prefix.size());
    if (own == kFlux2Modulation) {
      names["norm_out.linear.weight"] = {.name = stored, .form = OriginalTensor::Form::kSwapped};
    }
    const auto [block, rest] = flux2_block_and_rest(own, kFlux2DoubleBlocks);
    const auto attention = concat("transformer_blocks.", block, ".attn.");
    if (rest == "img_attn.qkv.weight") {
      add_fused(names, stored, attention + "to_q.weight", attention + "to_k.weight", attention + "to_v.weight");
    } else if (rest == "txt_attn.qkv.weight") {
      add_fused(names, stored, attention + "add_q_proj.weight", attention + "add_k_proj.weight",
                attention + "add_v_proj.weight");
    }
  }
  return names;
}

nlohmann::json flux2_config(const TensorStore& weights) {
  const NameSet names(weights);
  const auto embedded = required_shape(weights, "x_embedder.weight", 2);
  const auto dim = embedded[0], head = required_shape(weights, "single_transformer_blocks.0.attn.norm_q.weight", 1)[0];
  const auto frequencies = required_shape(weights, "time_guidance_embed.timestep_embedder.linear_1.weight", 2)[1];
  if (head != kFlux2Head || dim % head != 0 || frequencies != kFlux2Frequencies) {
    throw Error(ErrorCode::kUnsupported, concat(weights.where(), " is a FLUX.2 with heads of ", head,
                                                " channels, of which a file does not tell ",
                                                "the rest; name a folder with its configs as `configs`"));
  }
  const auto mlp = required_shape(weights, "single_transformer_blocks.0.attn.to_out.weight", 2)[1] - dim;
  return {{"_class_name", "Flux2Transformer2DModel"},
          {"in_channels", embedded[1]},
          {"num_layers", names.count("transformer_blocks.")},
          {"num_single_layers", names.count("single_transformer_blocks.")},
          {"attention_head_dim", head},
          {"num_attention_heads", dim / head},
          {"joint_attention_dim", required_shape(weights, "context_embedder.weight", 2)[1]},
          {"mlp_ratio", static_cast<double>(mlp) / static_cast<double>(dim)},
          {"guidance_embeds", names.has_prefix("time_guidance_embed.guidance_embedder.")}};
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

/// klein's, distilled and base.
nlohmann::json flux2_scheduler(const TensorStore&) {
  return {{"_class_name", "FlowMatchEulerDiscreteScheduler"},
          {"num_train_timesteps", 1000},
          {"use_dynamic_shifting", true},
          {"shift", 3.0}};
}

}  // namespace

const ComponentLayout kFlux2Layout{
    .class_name = "Flux2Transformer2DModel", .fits = &is_flux2, .names = &flux2_names, .config = &flux2_config};

const ComponentLayout kFlux2VaeLayout{
    .class_name = "AutoencoderKLFlux2", .fits = &is_flux2_vae, .names = &flux2_vae_names, .config = &flux2_vae_config};

DenoiserFile flux2_file() {
  return {.name = "FLUX.2 klein",
          .class_name = "Flux2KleinPipeline",
          .denoiser_class = "Flux2Transformer2DModel",
          .text_encoders = {{.component = Component::kTextEncoder,
                             .class_name = "Qwen3ForCausalLM",
                             .tokenizer_class = "Qwen2Tokenizer"}},
          .scheduler = &flux2_scheduler,
          .vae = nlohmann::json::object(),
          .vae_class = "AutoencoderKLFlux2"};
}

}  // namespace easel
