// FLUX.1's own names, after convert_flux_transformer_checkpoint_to_diffusers of diffusers 0.42.1.
#include "checkpoints/layouts/denoiser_file.h"
#include "core/text.h"
#include "easel/error.h"

namespace easel {
namespace {

constexpr std::int64_t kFluxHead = 128;  // channels of a head, of the published models

constexpr LayerSpelling kFluxEnds[] = {{"img_in.", "x_embedder."},
                                       {"txt_in.", "context_embedder."},
                                       {"time_in.in_layer.", "time_text_embed.timestep_embedder.linear_1."},
                                       {"time_in.out_layer.", "time_text_embed.timestep_embedder.linear_2."},
                                       {"vector_in.in_layer.", "time_text_embed.text_embedder.linear_1."},
                                       {"vector_in.out_layer.", "time_text_embed.text_embedder.linear_2."},
                                       {"guidance_in.in_layer.", "time_text_embed.guidance_embedder.linear_1."},
                                       {"guidance_in.out_layer.", "time_text_embed.guidance_embedder.linear_2."},
                                       {"final_layer.linear.", "proj_out."}};
constexpr LayerSpelling kFluxDouble[] = {{"img_mod.lin.", "norm1.linear."},
                                         {"txt_mod.lin.", "norm1_context.linear."},
                                         {"img_attn.norm.query_norm.scale", "attn.norm_q.weight"},
                                         {"img_attn.norm.key_norm.scale", "attn.norm_k.weight"},
                                         {"txt_attn.norm.query_norm.scale", "attn.norm_added_q.weight"},
                                         {"txt_attn.norm.key_norm.scale", "attn.norm_added_k.weight"},
                                         {"img_attn.proj.", "attn.to_out.0."},
                                         {"txt_attn.proj.", "attn.to_add_out."},
                                         {"img_mlp.0.", "ff.net.0.proj."},
                                         {"img_mlp.2.", "ff.net.2."},
                                         {"txt_mlp.0.", "ff_context.net.0.proj."},
                                         {"txt_mlp.2.", "ff_context.net.2."}};
constexpr LayerSpelling kFluxSingle[] = {{"modulation.lin.", "norm.linear."},
                                         {"norm.query_norm.scale", "attn.norm_q.weight"},
                                         {"norm.key_norm.scale", "attn.norm_k.weight"},
                                         {"linear2.", "proj_out."}};
constexpr BlockSpelling kFluxBlocks[] = {{"double_blocks.", "transformer_blocks.", kFluxDouble},
                                         {"single_blocks.", "single_transformer_blocks.", kFluxSingle}};

bool is_flux(const NameSet& names, const std::string& prefix) {
  return names.has(prefix + "double_blocks.0.img_mod.lin.weight") ||
         names.has(prefix + "single_transformer_blocks.0.proj_mlp.weight");
}

bool is_composed(const std::string& name) {
  return name.find("_attn.qkv.") != std::string::npos || name.find(".linear1.") != std::string::npos ||
         name.starts_with("final_layer.adaLN_modulation.1.");
}

std::string flux_name(const std::string& rest) {
  return is_composed(rest) ? "" : respelled(rest, kFluxEnds, kFluxBlocks);
}

/// Query, key and value with the first layer of the MLP, in one matrix of a single block.
void add_single_block(OriginalNames& names, const TensorStore& file, const std::string& stored,
                      const std::string& block, const std::string& kind) {
  using Form = OriginalTensor::Form;
  const auto scope = stored.substr(0, stored.size() - kind.size() - std::string_view("linear1.").size());
  const auto rows = required_shape(file, stored, kind == "weight" ? 2 : 1)[0];
  const auto dim = required_shape(file, scope + "linear2.weight", 2)[0];
  std::int64_t first = 0;
  for (const char* part : {"attn.to_q.", "attn.to_k.", "attn.to_v."}) {
    names[concat(block, part, kind)] = {.name = stored, .form = Form::kRows, .first_row = first, .rows = dim};
    first += dim;
  }
  names[concat(block, "proj_mlp.", kind)] = {
      .name = stored, .form = Form::kRows, .first_row = first, .rows = rows - first};
}

OriginalNames flux_names(const TensorStore& file, const std::string& prefix) {
  auto names = renamed_tensors(file, prefix, &flux_name);
  for (const auto& stored : file.names()) {
    const auto rest = stored.starts_with(prefix) ? stored.substr(prefix.size()) : "";
    if (!is_composed(rest)) continue;
    const auto kind = rest.substr(rest.rfind('.') + 1);
    if (rest.starts_with("final_layer.")) {
      names["norm_out.linear." + kind] = {.name = stored, .form = OriginalTensor::Form::kSwapped};
      continue;
    }
    const auto number = rest.substr(rest.find('.') + 1, rest.find('.', rest.find('.') + 1) - rest.find('.'));
    if (rest.starts_with("single_blocks.")) {
      add_single_block(names, file, stored, "single_transformer_blocks." + number, kind);
      continue;
    }
    const auto block = concat("transformer_blocks.", number, "attn.");
    const bool text = rest.find("txt_attn.") != std::string::npos;
    add_fused(names, stored, concat(block, text ? "add_q_proj." : "to_q.", kind),
              concat(block, text ? "add_k_proj." : "to_k.", kind), concat(block, text ? "add_v_proj." : "to_v.", kind));
  }
  return names;
}

bool takes_guidance(const TensorStore& weights) {
  return weights.find("time_text_embed.guidance_embedder.linear_1.weight") != nullptr;
}

nlohmann::json flux_config(const TensorStore& weights) {
  const NameSet names(weights);
  const auto dim = required_shape(weights, "transformer_blocks.0.attn.to_q.weight", 2)[0];
  const auto head = required_shape(weights, "transformer_blocks.0.attn.norm_q.weight", 1)[0];
  if (head != kFluxHead || dim % head != 0) {
    throw Error(ErrorCode::kUnsupported, concat(weights.where(), " is a FLUX.1 with heads of ", head,
                                                " channels, of which a file does not tell ",
                                                "the rest; name a folder with its configs as `configs`"));
  }
  return {{"_class_name", "FluxTransformer2DModel"},
          {"patch_size", 1},
          {"in_channels", required_shape(weights, "x_embedder.weight", 2)[1]},
          {"num_layers", names.count("transformer_blocks.")},
          {"num_single_layers", names.count("single_transformer_blocks.")},
          {"attention_head_dim", head},
          {"num_attention_heads", dim / head},
          {"joint_attention_dim", required_shape(weights, "context_embedder.weight", 2)[1]},
          {"pooled_projection_dim", required_shape(weights, "time_text_embed.text_embedder.linear_1.weight", 2)[1]},
          {"guidance_embeds", takes_guidance(weights)}};
}

/// dev's, which takes the guidance scale, and schnell's.
nlohmann::json flux_scheduler(const TensorStore& weights) {
  const bool dev = takes_guidance(weights);
  return {{"_class_name", "FlowMatchEulerDiscreteScheduler"},
          {"num_train_timesteps", 1000},
          {"base_image_seq_len", 256},
          {"max_image_seq_len", 4096},
          {"base_shift", 0.5},
          {"max_shift", 1.15},
          {"use_dynamic_shifting", dev},
          {"shift", dev ? 3.0 : 1.0}};
}

}  // namespace

const ComponentLayout kFluxLayout{
    .class_name = "FluxTransformer2DModel", .fits = &is_flux, .names = &flux_names, .config = &flux_config};

/// Kontext has the same tensors as dev; a folder of `configs` says which of the two a file is.
DenoiserFile flux_file() {
  return {.name = "FLUX.1",
          .class_name = "FluxPipeline",
          .denoiser_class = "FluxTransformer2DModel",
          .text_encoders = {{.component = Component::kTextEncoder,
                             .class_name = "CLIPTextModel",
                             .tokenizer_class = "CLIPTokenizer"},
                            {.component = Component::kTextEncoder2,
                             .class_name = "T5EncoderModel",
                             .tokenizer_class = "T5TokenizerFast"}},
          .scheduler = &flux_scheduler,
          .vae = {{"scaling_factor", 0.3611}, {"shift_factor", 0.1159}, {"force_upcast", true}, {"sample_size", 1024}}};
}

}  // namespace easel
