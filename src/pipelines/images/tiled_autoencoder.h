// Runs the autoencoder on large images in overlapping tiles, so that its memory depends only on the tile.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <optional>

#include "models/autoencoders/autoencoder_kl.h"
#include "models/memory/activation_memory.h"
#include "nn/run_context.h"

namespace easel {

/// Whether images are decoded and encoded in tiles.
enum class VaeTiling {
  kAuto,  ///< if the whole image needs more memory than is free
  kOn,    ///< if an image is larger than a tile
  kOff,
};

/// Edge of diffusers' tiles for an autoencoder, in pixels: its `sample_size`, rounded down to a multiple of four cells,
/// because the reference's tiles do not fit together otherwise.
std::int64_t reference_tile(const AutoencoderKLConfig& config);

// Memory in bytes that tiled_decode and tiled_encode need in addition to the weights: for the tile that is processed,
// the tiles that are still to be blended, and the result. decode_bytes and encode_bytes are the same for whole images
// (models/memory/activation_memory.h).
// @param whole  size of the whole image
// @param tile   pixels along a tile's edge; 0: the whole image at once

std::int64_t tiled_decode_bytes(const AutoencoderKLConfig& config, const LatentSize& whole, std::int64_t tile,
                                const Placement& placement);
std::int64_t tiled_encode_bytes(const AutoencoderKLConfig& config, const LatentSize& whole, std::int64_t tile,
                                const Placement& placement);

/// The size of an image in pixels, and the pixels along an edge of the autoencoder's cells.
struct ImageExtent {
  std::int64_t height;
  std::int64_t width;
  std::int64_t cell;
};

/// Chooses the tiles' edge in pixels; 0: the whole image at once. kAuto takes `tile`, halved until it fits into memory,
/// but at least 16 cells.
/// @param tile       edge that kOn uses
/// @param free       bytes that may be used
/// @param memory_of  bytes that the image needs with tiles of a given edge, or at once for 0
std::int64_t choose_tile(VaeTiling tiling, const ImageExtent& image, std::int64_t tile, std::int64_t free,
                         const std::function<std::int64_t(std::int64_t)>& memory_of);

/// The edge of the tiles to use after memory ran out with tiles of `tile` pixels, or with the whole image at once for
/// 0; none where no smaller ones are possible. @param reference  edge that kOn uses
std::optional<std::int64_t> next_smaller_tile(const ImageExtent& image, std::int64_t reference, std::int64_t tile);

// The same as diffusers 0.42.1 with enable_tiling: tiles overlap by a quarter of their edge, and each is blended
// linearly with its neighbours above and to the left. Numbers agree with tiled diffusers; they differ from those of the
// whole image, because every tile has its own GroupNorm statistics and attention. The tiles of an AutoencoderTiny are
// those of AutoencoderKL, too; diffusers divides its images otherwise. Cancellation is also checked between
// tiles.
// @param tile  pixels along a tile's edge, a multiple of four cells
// @throws Error(kCancelled)

/// @param z  as for AutoencoderKL::decode
at::Tensor tiled_decode(const AutoencoderKL& vae, const at::Tensor& z, std::int64_t tile, const RunContext& ctx);

/// @param x  as for AutoencoderKL::encode
DiagonalGaussianDistribution tiled_encode(const AutoencoderKL& vae, const at::Tensor& x, std::int64_t tile,
                                          const RunContext& ctx);

}  // namespace easel
