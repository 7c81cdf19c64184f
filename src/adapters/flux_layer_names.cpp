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
    {"time_guidance_embed.timestep_embedder.linear_1", "time_in.in_layer"},
    {"time_guidance_embed.timestep_embedder.linear_2", "time_in.out_layer"},
    {"double_stream_modulation_img.linear", "double_stream_modulation_img.lin"},
    {"double_stream_modulation_txt.linear", "double_stream_modulation_txt.lin"},
    {"single_stream_modulation.linear", "single_stream_modulation.lin"},
    {"norm_out.linear", "final_layer.adaLN_modulation.1"},
    {"proj_out", "final_layer.linear"}};
constexpr FluxRenaming kInDoubleBlock[] = {
    {"attn.to_q", "img_attn.to_q"},        {"attn.to_k", "img_attn.to_k"},
    {"attn.to_v", "img_attn.to_v"},        {"attn.to_out.0", "img_attn.proj"},
    {"attn.add_q_proj", "txt_attn.to_q"},  {"attn.add_k_proj", "txt_attn.to_k"},
    {"attn.add_v_proj", "txt_attn.to_v"},  {"attn.to_add_out", "txt_attn.proj"},
    {"ff.linear_in", "img_mlp.0"},         {"ff.linear_out", "img_mlp.2"},
    {"ff_context.linear_in", "txt_mlp.0"}, {"ff_context.linear_out", "txt_mlp.2"}};
constexpr FluxRenaming kInSingleBlock[] = {{"attn.to_qkv_mlp_proj", "linear1"}, {"attn.to_out", "linear2"}};

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

}  // namespace

std::string original_flux_name(const std::string& name) {
  if (const auto outside = renamed_in_flux(kOutsideFluxBlocks, name); !outside.empty()) return std::string(outside);
  const auto [double_number, in_double] = number_and_rest(name, "transformer_blocks.");
  if (const auto inside = renamed_in_flux(kInDoubleBlock, in_double); !inside.empty()) {
    return concat("double_blocks.", double_number, '.', inside);
  }
  const auto [single_number, in_single] = number_and_rest(name, "single_transformer_blocks.");
  if (const auto inside = renamed_in_flux(kInSingleBlock, in_single); !inside.empty()) {
    return concat("single_blocks.", single_number, '.', inside);
  }
  return {};
}

}  // namespace easel
