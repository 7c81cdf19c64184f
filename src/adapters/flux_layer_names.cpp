#include "adapters/flux_layer_names.h"

#include <string_view>
#include <utility>

#include "core/text.h"

namespace easel {
namespace {

using FluxRenaming = std::pair<std::string_view, std::string_view>;

constexpr FluxRenaming kOutsideFluxBlocks[] = {
    {"x_embedder", "img_in"},
    {"context_embedder", "txt_in"},
    {"time_text_embed.timestep_embedder.linear_1", "time_in.in_layer"},
    {"time_text_embed.timestep_embedder.linear_2", "time_in.out_layer"},
    {"time_text_embed.guidance_embedder.linear_1", "guidance_in.in_layer"},
    {"time_text_embed.guidance_embedder.linear_2", "guidance_in.out_layer"},
    {"time_text_embed.text_embedder.linear_1", "vector_in.in_layer"},
    {"time_text_embed.text_embedder.linear_2", "vector_in.out_layer"},
    {"time_guidance_embed.timestep_embedder.linear_1", "time_in.in_layer"},
    {"time_guidance_embed.timestep_embedder.linear_2", "time_in.out_layer"},
    {"double_stream_modulation_img.linear", "double_stream_modulation_img.lin"},
    {"double_stream_modulation_txt.linear", "double_stream_modulation_txt.lin"},
    {"single_stream_modulation.linear", "single_stream_modulation.lin"},
    {"norm_out.linear", "final_layer.adaLN_modulation.1"},
    {"proj_out", "final_layer.linear"}};
constexpr FluxRenaming kInDoubleBlock[] = {
    {"attn.to_q", "img_attn.to_q"},         {"attn.to_k", "img_attn.to_k"},
    {"attn.to_v", "img_attn.to_v"},         {"attn.to_out.0", "img_attn.proj"},
    {"attn.add_q_proj", "txt_attn.to_q"},   {"attn.add_k_proj", "txt_attn.to_k"},
    {"attn.add_v_proj", "txt_attn.to_v"},   {"attn.to_add_out", "txt_attn.proj"},
    {"norm1.linear", "img_mod.lin"},        {"norm1_context.linear", "txt_mod.lin"},
    {"ff.net.0.proj", "img_mlp.0"},         {"ff.net.2", "img_mlp.2"},
    {"ff_context.net.0.proj", "txt_mlp.0"}, {"ff_context.net.2", "txt_mlp.2"},
    {"ff.linear_in", "img_mlp.0"},          {"ff.linear_out", "img_mlp.2"},
    {"ff_context.linear_in", "txt_mlp.0"},  {"ff_context.linear_out", "txt_mlp.2"}};
constexpr FluxRenaming kInSingleBlock[] = {{"attn.to_qkv_mlp_proj", "linear1"}, {"attn.to_out", "linear2"},
                                           {"norm.linear", "modulation.lin"},   {"attn.to_q", "linear1.to_q"},
                                           {"attn.to_k", "linear1.to_k"},       {"attn.to_v", "linear1.to_v"},
                                           {"proj_mlp", "linear1.proj_mlp"},    {"proj_out", "linear2"}};
// XLabs numbers the adapters of a block: 1 of the image, 2 of the text.
constexpr FluxRenaming kInXlabsDoubleBlock[] = {{"attn.to_q", "to_q_lora1"},       {"attn.to_k", "to_k_lora1"},
                                                {"attn.to_v", "to_v_lora1"},       {"attn.to_out.0", "proj_lora1"},
                                                {"attn.add_q_proj", "to_q_lora2"}, {"attn.add_k_proj", "to_k_lora2"},
                                                {"attn.add_v_proj", "to_v_lora2"}, {"attn.to_add_out", "proj_lora2"}};
constexpr FluxRenaming kInXlabsSingleBlock[] = {
    {"attn.to_q", "to_q"}, {"attn.to_k", "to_k"}, {"attn.to_v", "to_v"}, {"proj_out", "proj"}};

template <std::size_t N>
std::string_view renamed_in_flux(const FluxRenaming (&table)[N], std::string_view name) {
  for (const auto& [from, to] : table) {
    if (name == from) return to;
  }
  return {};
}

/// "transformer_blocks.3.ff.net.2" -> {"3", "ff.net.2"}; empty for other stacks.
std::pair<std::string_view, std::string_view> number_and_rest(std::string_view name, std::string_view stack) {
  if (!name.starts_with(stack)) return {};
  name.remove_prefix(stack.size());
  const auto dot = name.find('.');
  if (dot == std::string_view::npos) return {};
  return {name.substr(0, dot), name.substr(dot + 1)};
}

template <std::size_t N, std::size_t M>
std::string in_flux_block(const std::string& name, const FluxRenaming (&doubles)[N], const FluxRenaming (&singles)[M]) {
  const auto [double_number, in_double] = number_and_rest(name, "transformer_blocks.");
  if (const auto inside = renamed_in_flux(doubles, in_double); !inside.empty()) {
    return concat("double_blocks.", double_number, '.', inside);
  }
  const auto [single_number, in_single] = number_and_rest(name, "single_transformer_blocks.");
  if (const auto inside = renamed_in_flux(singles, in_single); !inside.empty()) {
    return concat("single_blocks.", single_number, '.', inside);
  }
  return {};
}

}  // namespace

std::string original_flux_name(const std::string& name) {
  if (const auto outside = renamed_in_flux(kOutsideFluxBlocks, name); !outside.empty()) return std::string(outside);
  return in_flux_block(name, kInDoubleBlock, kInSingleBlock);
}

std::string xlabs_flux_name(const std::string& name) {
  return in_flux_block(name, kInXlabsDoubleBlock, kInXlabsSingleBlock);
}

}  // namespace easel
