// Names of layers in the original layout of FLUX.1 and FLUX.2, by which most trainers name them.
#pragma once

#include <string>

namespace easel {

/// The original name of a layer of diffusers' FluxTransformer2DModel or Flux2Transformer2DModel, e.g.
/// "double_blocks.0.img_mlp.2" of "transformer_blocks.0.ff.linear_out". Queries, keys and values, which are one layer
/// in the original, are "img_attn.to_q" and so on, as LayerNames::find_fused looks for them. Empty where the original
/// has no such layer.
/// In FLUX.1's single blocks, the MLP belongs to that layer, too: "linear1.to_q", "linear1.proj_mlp".
std::string original_flux_name(const std::string& name);

/// The name that XLabs' trainer gives a layer of FLUX.1's blocks, without "processor" and without "_lora" at the end:
/// "double_blocks.0.proj_lora1". Empty where it trains no such layer.
std::string xlabs_flux_name(const std::string& name);

}  // namespace easel
