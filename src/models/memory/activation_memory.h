// How much memory a model's calls take in addition to its weights, estimated from its config.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <optional>
#include <span>

#include "models/autoencoders/autoencoder_kl.h"
#include "models/transformers/flux2_transformer_2d.h"
#include "models/transformers/flux_transformer_2d.h"
#include "models/transformers/pixart_transformer_2d.h"
#include "models/transformers/sd3_transformer_2d.h"
#include "models/transformers/z_image_transformer_2d.h"
#include "models/unet/unet_2d_condition_config.h"
#include "tensor/placement.h"

namespace easel {

/// The size of a batch of latents: rows, and cells along each edge.
struct LatentSize {
  std::int64_t rows = 1;
  std::int64_t height = 64;
  std::int64_t width = 64;
};

// Each function returns the largest sum of bytes of all tensors that are alive at once during a call, including its
// input, its output and what is kept of the prompts from step to step, but not the weights. The call is made on meta
// tensors (MetaRun), so it follows the architecture of any config. On a CPU the result includes oneDNN's scratch memory
// for this processor and number of threads (onednn_scratch.h). Takes milliseconds, up to a few tens for SDXL.
// Thread-safe.
// @param placement  where and in which dtype the call would run. With WeightStorage::kStored, weights are assumed to be
//                   stored in half precision, and the weight that a layer converts for its call is included

/// One evaluation with a prompt of 77 tokens. `rows`: 2 for an image with guidance.
std::int64_t step_bytes(const UNet2DConditionConfig& config, const LatentSize& size, const Placement& placement);

/// One evaluation with the longest prompt that the family's text encoder reads, 512 tokens, in each row.
std::int64_t step_bytes(const ZImageTransformer2DConfig& config, const LatentSize& size, const Placement& placement);
/// @param reference  of an image that each row sees; its number of rows does not count
std::int64_t step_bytes(const FluxTransformer2DConfig& config, const LatentSize& size, const Placement& placement,
                        const std::optional<LatentSize>& reference = std::nullopt);

/// One evaluation with a prompt of 77 tokens for CLIP and 256 for T5 in each row.
std::int64_t step_bytes(const SD3Transformer2DConfig& config, const LatentSize& size, const Placement& placement);

/// One evaluation with a prompt of 300 tokens in each row.
std::int64_t step_bytes(const PixArtTransformer2DConfig& config, const LatentSize& size, const Placement& placement);

/// One evaluation with a prompt of 512 tokens in each row. Sizes are those of patches, each of which is a token.
/// @param references  that each row sees; their numbers of rows do not count
std::int64_t step_bytes(const Flux2Transformer2DConfig& config, const LatentSize& size, const Placement& placement,
                        std::span<const LatentSize> references = {});

std::int64_t decode_bytes(const AutoencoderKLConfig& config, const LatentSize& size, const Placement& placement);
/// Encodes pixels that give latents of `size`.
std::int64_t encode_bytes(const AutoencoderKLConfig& config, const LatentSize& size, const Placement& placement);

}  // namespace easel
