// FLUX.1's own names, after convert_flux_transformer_checkpoint_to_diffusers of diffusers 0.42.1.
#include <string_view>
#include <utility>

#include "checkpoints/layouts/denoiser_file.h"
#include "core/text.h"
#include "easel/error.h"

namespace easel {
namespace {

constexpr std::int64_t kFluxHead = 128;       // channels of a head, of the published models
constexpr std::int64_t kFluxSingleParts = 7;  // of linear1: query, key, value, and an MLP four times as wide

struct FluxSpelling {
  std::string_view original, diffusers;
};
constexpr FluxSpelling kFluxEnds[] = {{"img_in.", "x_embedder."},
                                      {"txt_in.", "context_embedder."},
                                      {"time_in.in_layer.", "time_text_embed.timestep_embedder.linear_1."},
                                      {"time_in.out_layer.", "time_text_embed.timestep_embedder.linear_2."},
                                      {"vector_in.in_layer.", "time_text_embed.text_embedder.linear_1."},
                                      {"vector_in.out_layer.", "time_text_embed.text_embedder.linear_2."},
                                      {"guidance_in.in_layer.", "time_text_embed.guidance_embedder.linear_1."},
                                      {"guidance_in.out_layer.", "time_text_embed.guidance_embedder.linear_2."},
                                      {"final_layer.linear.", "proj_out."}};
constexpr FluxSpelling kFluxDouble[] = {{"img_mod.lin.", "norm1.linear."},
                                        {"txt_mod.lin.", "norm1_context.linear."},
                                        {"img_attn.proj.", "attn.to_out.0."},
                                        {"txt_attn.proj.", "attn.to_add_out."},
                                        {"img_attn.norm.query_norm.scale", "attn.norm_q.weight"},
                                        {"img_attn.norm.key_norm.scale", "attn.norm_k.weight"},
                                        {"txt_attn.norm.query_norm.scale", "attn.norm_added_q.weight"},
                                        {"txt_attn.norm.key_norm.scale", "attn.norm_added_k.weight"},
                                        {"img_mlp.0.", "ff.net.0.proj."},
                                        {"img_mlp.2.", "ff.net.2."},
                                        {"txt_mlp.0.", "ff_context.net.0.proj."},
                                        {"txt_mlp.2.", "ff_context.net.2."}};
constexpr FluxSpelling kFluxSingle[] = {{"modulation.lin.", "norm.linear."},
                                        {"linear2.", "proj_out."},
                                        {"norm.query_norm.scale", "attn.norm_q.weight"},
                                        {"norm.key_norm.scale", "attn.norm_k.weight"}};
constexpr std::string_view kFluxDoubleBlocks = "double_blocks.", kFluxSingleBlocks = "single_blocks.";
constexpr std::string_view kFluxModulation = "final_layer.adaLN_modulation.1.";

bool is_flux(const NameSet& names, const std::string& prefix) {
  const bool original = names.has(prefix + "double_blocks.0.img_attn.norm.key_norm.scale") &&
                        names.has(prefix + "vector_in.in_layer.weight");  // FLUX.2 has no pooled prompt
  return original || (names.has(prefix + "transformer_blocks.0.attn.norm_added_k.weight") &&
                      names.has(prefix + "time_text_embed.text_embedder.linear_1.weight"));
}

/// A name within a block and the block's number; an empty number for names of other stacks.
std::pair<std::string, std::string> in_flux_stack(const std::string& rest, std::string_view stack) {
  if (!rest.starts_with(stack)) return {};
  const auto dot = rest.find('.', stack.size());
  if (dot == std::string::npos) return {};
  return {rest.substr(stack.size(), dot - stack.size()), rest.substr(dot + 1)};
}

std::string flux_spelling(const std::string& name, std::span<const FluxSpelling> spellings) {
  for (const auto& [original, diffusers] : spellings) {
    if (name.starts_with(original)) return concat(diffusers, name.substr(original.size()));
  }
  return "";
}

/// Empty for tensors that are several of diffusers' tensors, or that are stored in another order.
std::string flux_name(const std::string& rest) {
  if (const auto name = flux_spelling(rest, kFluxEnds); !name.empty()) return name;
  if (const auto [block, layer] = in_flux_stack(rest, kFluxDoubleBlocks); !block.empty()) {
    const auto name = flux_spelling(layer, kFluxDouble);
    return name.empty() ? "" : concat("transformer_blocks.", block, '.', name);
  }
  if (const auto [block, layer] = in_flux_stack(rest, kFluxSingleBlocks); !block.empty()) {
    const auto name = flux_spelling(layer, kFluxSingle);
    return name.empty() ? "" : concat("single_transformer_blocks.", block, '.', name);
  }
  return rest.starts_with(kFluxModulation) ? "" : rest;
}

/// linear1 of a single block: rows of queries, keys, values and the MLP one after another.
void add_flux_linear1(OriginalNames& names, const TensorStore& file, const std::string& stored,
                      const std::string& block, const std::string& kind) {
  const auto width = file.find(stored)->shape.at(0) / kFluxSingleParts;
  std::int64_t first = 0;
  for (const auto& [layer, rows] : {std::pair{"attn.to_q.", width},
                                    {"attn.to_k.", width},
                                    {"attn.to_v.", width},
                                    {"proj_mlp.", (kFluxSingleParts - 3) * width}}) {
    names[concat("single_transformer_blocks.", block, '.', layer, kind)] = {
        .name = stored, .form = OriginalTensor::Form::kRows, .first_row = first, .rows = rows};
    first += rows;
  }
}

OriginalNames flux_names(const TensorStore& file, const std::string& prefix) {
  auto names = renamed_tensors(file, prefix, &flux_name);
  constexpr std::string_view kLinear1 = "linear1.", kImage = "img_attn.qkv.", kText = "txt_attn.qkv.";
  for (const auto& stored : file.names()) {
    if (!stored.starts_with(prefix)) continue;
    const auto rest = stored.substr(prefix.size());
    if (rest.starts_with(kFluxModulation)) {
      names[concat("norm_out.linear.", rest.substr(kFluxModulation.size()))] = {.name = stored,
                                                                                .form = OriginalTensor::Form::kSwapped};
    }
    const auto [double_block, in_double] = in_flux_stack(rest, kFluxDoubleBlocks);
    const auto fused = [&](std::string_view layer, const char* query, const char* key, const char* value) {
      if (!in_double.starts_with(layer)) return;
      const auto kind = in_double.substr(layer.size());
      const auto attention = concat("transformer_blocks.", double_block, ".attn.");
      add_fused(names, stored, concat(attention, query, kind), concat(attention, key, kind),
                concat(attention, value, kind));
    };
    fused(kImage, "to_q.", "to_k.", "to_v.");
    fused(kText, "add_q_proj.", "add_k_proj.", "add_v_proj.");
    const auto [single_block, in_single] = in_flux_stack(rest, kFluxSingleBlocks);
    if (in_single.starts_with(kLinear1)) {
      add_flux_linear1(names, file, stored, single_block, in_single.substr(kLinear1.size()));
    }
  }
  return names;
}

nlohmann::json flux_config(const TensorStore& weights) {
  const NameSet names(weights);
  const auto head = required_shape(weights, "transformer_blocks.0.attn.norm_q.weight", 1)[0];
  const auto dim = required_shape(weights, "transformer_blocks.0.attn.to_q.weight", 2)[0];
  if (head != kFluxHead || dim % head != 0) {
    throw Error(ErrorCode::kUnsupported, concat(weights.where(), " is a FLUX.1 with heads of ", head,
                                                " channels, of which a file does not tell the rest; name a folder ",
                                                "with its configs as `configs`"));
  }
  return {{"_class_name", "FluxTransformer2DModel"},
          {"in_channels", required_shape(weights, "x_embedder.weight", 2)[1]},
          {"out_channels", required_shape(weights, "proj_out.weight", 2)[0]},
          {"num_layers", names.count("transformer_blocks.")},
          {"num_single_layers", names.count("single_transformer_blocks.")},
          {"attention_head_dim", head},
          {"num_attention_heads", dim / head},
          {"joint_attention_dim", required_shape(weights, "context_embedder.weight", 2)[1]},
          {"pooled_projection_dim", required_shape(weights, "time_text_embed.text_embedder.linear_1.weight", 2)[1]},
          {"guidance_embeds", names.has("time_text_embed.guidance_embedder.linear_1.weight")}};
}

/// dev's where the guidance scale is an input, else schnell's.
nlohmann::json flux_scheduler(const TensorStore& denoiser) {
  const bool is_dev = denoiser.find("time_text_embed.guidance_embedder.linear_1.weight") != nullptr;
  nlohmann::json config{{"_class_name", "FlowMatchEulerDiscreteScheduler"},
                        {"num_train_timesteps", 1000},
                        {"use_dynamic_shifting", is_dev},
                        {"shift", is_dev ? 3.0 : 1.0}};
  config.update({{"base_image_seq_len", 256}, {"max_image_seq_len", 4096}, {"base_shift", 0.5}, {"max_shift", 1.15}});
  return config;
}

}  // namespace

const ComponentLayout kFluxLayout{
    .class_name = "FluxTransformer2DModel", .fits = &is_flux, .names = &flux_names, .config = &flux_config};

DenoiserFile flux_file() {
  return {.name = "FLUX.1",
          .class_name = "FluxPipeline",
          .denoiser_class = "FluxTransformer2DModel",
          .text_encoders = {{.component = Component::kTextEncoder,
                             .class_name = "CLIPTextModel",
                             .tokenizer_class = "CLIPTokenizer",
                             .prefix = "text_encoders.clip_l.transformer."},
                            {.component = Component::kTextEncoder2,
                             .class_name = "T5EncoderModel",
                             .tokenizer_class = "T5Tokenizer",
                             .prefix = "text_encoders.t5xxl.transformer."}},
          .scheduler = &flux_scheduler,
          .vae = {{"scaling_factor", 0.3611}, {"shift_factor", 0.1159}, {"force_upcast", true}, {"sample_size", 1024}}};
}

}  // namespace easel
