// Large images through the autoencoder in overlapping tiles, so that its memory depends on the tile alone.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>

#include "models/activation_memory.h"
#include "models/autoencoder_kl.h"
#include "nn/run_context.h"

namespace easel {

/// Whether images are decoded and encoded in tiles.
enum class VaeTiling {
  kAuto,  ///< where a whole image needs more memory than is free
  kOn,    ///< where an image is larger than a tile
  kOff,
};

/// Edge of the tiles that diffusers takes for an autoencoder, in pixels: its `sample_size`, in whole steps of four
/// cells, for the reference's own tiles do not meet where it is anything else.
std::int64_t reference_tile(const AutoencoderKLConfig& config);

// What tiled_decode and tiled_encode take of memory beside the weights, as decode_bytes and encode_bytes tell it of the
// whole (models/activation_memory.h): a tile at work, the tiles that are still to be blended, and what is put together.
// @param whole  of the image
// @param tile   pixels along a tile's edge; 0: the whole image at once

std::int64_t tiled_decode_bytes(const AutoencoderKLConfig& config, const LatentSize& whole, std::int64_t tile,
                                const Placement& placement);
std::int64_t tiled_encode_bytes(const AutoencoderKLConfig& config, const LatentSize& whole, std::int64_t tile,
                                const Placement& placement);

/// An image in pixels. The autoencoder's cells have `cell` of them along an edge.
struct ImageExtent {
  std::int64_t height;
  std::int64_t width;
  std::int64_t cell;
};

/// The tiles to use: pixels along an edge; 0: the whole image at once. kAuto takes `tile`, or what is left of it
/// after halving, as soon as it fits; never less than 16 cells.
/// @param tile       of kOn
/// @param free       bytes that may be used
/// @param memory_of  bytes that the image needs in tiles of an edge; of 0: at once
std::int64_t choose_tile(VaeTiling tiling, const ImageExtent& image, std::int64_t tile, std::int64_t free,
                         const std::function<std::int64_t(std::int64_t)>& memory_of);

// As diffusers 0.42.1 does it with enable_tiling: tiles overlap by a quarter of their edge, and each is blended in
// linearly over its neighbours above and to the left. Numbers agree with it, not with those of the whole image: every
// tile has its own GroupNorm statistics and its own attention. Stopping is polled between tiles too.
// @param tile  pixels along a tile's edge, a multiple of four cells
// @throws Error(kCancelled)

/// @param z  as AutoencoderKL::decode takes it
at::Tensor tiled_decode(const AutoencoderKL& vae, const at::Tensor& z, std::int64_t tile, const RunContext& ctx);

/// @param x  as AutoencoderKL::encode takes it
DiagonalGaussianDistribution tiled_encode(const AutoencoderKL& vae, const at::Tensor& x, std::int64_t tile,
                                          const RunContext& ctx);

}  // namespace easel
