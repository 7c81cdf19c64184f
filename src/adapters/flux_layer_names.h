// Names of layers in the original layout of FLUX.1 and FLUX.2, by which most trainers name them.
#pragma once

#include <string>

namespace easel {

/// The original name of a layer of diffusers' FluxTransformer2DModel or Flux2Transformer2DModel, e.g.
/// "double_blocks.0.img_mlp.2" of "transformer_blocks.0.ff.linear_out". Queries, keys and values, which are one layer
/// in the original, are "img_attn.to_q" and so on, as LayerNames::find_fused looks for them. Empty where the original
/// has no such layer.
std::string original_flux_name(const std::string& name);

}  // namespace easel
