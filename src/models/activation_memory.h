// How much memory a model's calls take beside its weights, from its config alone.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>

#include "models/autoencoder_kl.h"
#include "models/unet_2d_condition_config.h"
#include "tensor/placement.h"

namespace easel {

/// Latents, or what becomes of them: rows, and cells along each edge.
struct LatentSize {
  std::int64_t rows = 1;
  std::int64_t height = 64;
  std::int64_t width = 64;
};

// Each: the largest sum of bytes of all tensors alive at once during the call, what it is given and what it returns
// included, the weights not. The call is made on meta tensors (MetaRun), so this follows the architecture wherever a
// config leads. Takes milliseconds, up to a few tens for SDXL. Thread-safe.
// @param placement  where and in which dtype the call would run; with WeightStorage::kStored from half precision, so
//                   that the weight which a layer converts for its call is in it

/// One evaluation with a prompt of 77 tokens. `rows`: 2 for an image with guidance.
std::int64_t step_bytes(const UNet2DConditionConfig& config, const LatentSize& size, const Placement& placement);

std::int64_t decode_bytes(const AutoencoderKLConfig& config, const LatentSize& size, const Placement& placement);
/// Of pixels that give latents of `size`.
std::int64_t encode_bytes(const AutoencoderKLConfig& config, const LatentSize& size, const Placement& placement);

}  // namespace easel
