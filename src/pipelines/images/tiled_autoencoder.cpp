#include "pipelines/images/tiled_autoencoder.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>

#include <algorithm>
#include <functional>
#include <vector>

#include "tensor/upload.h"

namespace easel {
namespace {

constexpr std::int64_t kHeight = 2, kWidth = 3;
constexpr std::int64_t kSmallestTileCells = 16;

/// Blends the end of `before` linearly into the beginning of `tile`, in place, along one dimension.
void blend(const at::Tensor& before, const at::Tensor& tile, std::int64_t dim, std::int64_t extent) {
  extent = std::min({before.size(dim), tile.size(dim), extent});
  std::vector<std::int64_t> shape(4, 1);
  shape[dim] = extent;
  // The weight of `tile`: exact quotients, which the reference passes to float32 arithmetic.
  const auto share = (at::arange(extent, at::kDouble) / static_cast<double>(extent)).view(shape);
  const auto weigh = [&](const at::Tensor& part, const at::Tensor& weights) {
    return (part.to(at::kFloat) * upload(weights, part.device(), at::kFloat)).to(part.scalar_type());
  };
  const auto beginning = tile.narrow(dim, 0, extent);
  beginning.copy_(weigh(before.narrow(dim, before.size(dim) - extent, extent), 1 - share) + weigh(beginning, share));
}

struct TileLayout {
  std::int64_t size;    ///< edge of a tile, in cells of the input
  std::int64_t stride;  ///< between the starts of tiles, in cells of the input
  std::int64_t extent;  ///< blended, in cells of the result
  std::int64_t kept;    ///< of each tile, in cells of the result; its neighbours provide the rest
};

/// Applies `run` to all tiles and joins the results. Two rows of tiles are kept at a time.
at::Tensor run_tiled(const at::Tensor& input, const TileLayout& cut, const RunContext& ctx,
                     const std::function<at::Tensor(const at::Tensor&)>& run) {
  std::vector<at::Tensor> above, finished_rows;
  for (std::int64_t y = 0; y < input.size(kHeight); y += cut.stride) {
    const auto band = input.narrow(kHeight, y, std::min(cut.size, input.size(kHeight) - y));
    std::vector<at::Tensor> row, kept;
    for (std::int64_t x = 0; x < input.size(kWidth); x += cut.stride) {
      ctx.throw_if_cancelled();
      row.push_back(run(band.narrow(kWidth, x, std::min(cut.size, input.size(kWidth) - x))));
      const auto& tile = row.back();
      if (!above.empty()) blend(above[row.size() - 1], tile, kHeight, cut.extent);
      if (row.size() > 1) blend(row[row.size() - 2], tile, kWidth, cut.extent);
      kept.push_back(tile.narrow(kHeight, 0, std::min(cut.kept, tile.size(kHeight)))
                         .narrow(kWidth, 0, std::min(cut.kept, tile.size(kWidth))));
    }
    finished_rows.push_back(at::cat(kept, kWidth));
    above = std::move(row);
  }
  return at::cat(finished_rows, kHeight);
}

/// @param from, to  edge of a tile of the input and of the result
TileLayout tile_layout(std::int64_t from, std::int64_t to) {
  constexpr double kOverlap = 0.25;
  const auto extent = static_cast<std::int64_t>(static_cast<double>(to) * kOverlap);
  return {.size = from,
          .stride = static_cast<std::int64_t>(static_cast<double>(from) * (1 - kOverlap)),
          .extent = extent,
          .kept = to - extent};
}

/// The size of a tensor with one row.
struct Extent {
  std::int64_t height, width;
  std::int64_t bytes;  ///< of a cell with all channels

  std::int64_t total() const { return height * width * bytes; }
};

/// Peak memory of run_tiled. While the last tile runs, the finished rows and two rows of tiles are in memory; then the
/// finished rows are joined.
std::int64_t tiled_bytes(const Extent& result, std::int64_t tile, std::int64_t run) {
  const auto kept = tile_layout(tile, tile).kept;
  const Extent row{.height = tile, .width = (result.width + kept - 1) / kept * tile, .bytes = result.bytes};
  return std::max(run, result.total()) + result.total() + 2 * row.total();
}

LatentSize tile_size_within(const LatentSize& whole, std::int64_t cells) {
  return {.rows = 1, .height = std::min(whole.height, cells), .width = std::min(whole.width, cells)};
}

}  // namespace

std::int64_t reference_tile(const AutoencoderKLConfig& config) {
  constexpr std::int64_t kDefaultSampleSize = 32;  // diffusers'
  const auto least = 4 * config.scale(), size = config.sample_size.value_or(kDefaultSampleSize);
  return std::max(size - size % least, least);
}

std::int64_t tiled_decode_bytes(const AutoencoderKLConfig& config, const LatentSize& whole, std::int64_t tile,
                                const Placement& placement) {
  if (tile == 0) return decode_bytes(config, whole, placement);
  const auto scale = config.scale(), size = static_cast<std::int64_t>(c10::elementSize(placement.dtype));
  const Extent result{
      .height = whole.height * scale, .width = whole.width * scale, .bytes = config.out_channels * size};
  return tiled_bytes(result, tile, decode_bytes(config, tile_size_within(whole, tile / scale), placement));
}

std::int64_t tiled_encode_bytes(const AutoencoderKLConfig& config, const LatentSize& whole, std::int64_t tile,
                                const Placement& placement) {
  if (tile == 0) return encode_bytes(config, whole, placement);
  const auto scale = config.scale(), size = static_cast<std::int64_t>(c10::elementSize(placement.dtype));
  const Extent pixels{.height = whole.height * scale, .width = whole.width * scale, .bytes = config.in_channels * size};
  const Extent result{.height = whole.height, .width = whole.width, .bytes = config.moments() * size};
  const auto run = encode_bytes(config, tile_size_within(whole, tile / scale), placement);
  return pixels.total() + tiled_bytes(result, tile / scale, run);
}

std::int64_t choose_tile(VaeTiling tiling, const ImageExtent& image, std::int64_t tile, std::int64_t free,
                         const std::function<std::int64_t(std::int64_t)>& memory_of) {
  const auto larger_than = [&](std::int64_t edge) { return image.height > edge || image.width > edge; };
  // An eighth is reserved for what the estimate does not cover: kernel workspaces and fragmentation.
  const auto fits = [&](std::int64_t edge) { return memory_of(edge) <= free - free / 8; };
  if (tiling == VaeTiling::kOff) return 0;
  if (tiling == VaeTiling::kOn) return larger_than(tile) ? tile : 0;
  if (fits(0)) return 0;
  const auto smallest = kSmallestTileCells * image.cell;
  auto edge = std::max(tile, smallest);
  while (edge / 2 >= smallest && (!larger_than(edge) || !fits(edge))) edge /= 2;
  edge -= edge % (4 * image.cell);
  return larger_than(edge) ? edge : 0;
}

std::optional<std::int64_t> next_smaller_tile(const ImageExtent& image, std::int64_t reference, std::int64_t tile) {
  const auto smallest = kSmallestTileCells * image.cell;
  const auto helps = [&](std::int64_t edge) {
    return (image.height > edge || image.width > edge) && (tile == 0 || edge < tile);
  };
  auto edge = std::max(reference, smallest);
  while (!helps(edge) && edge / 2 >= smallest) edge /= 2;
  edge -= edge % (4 * image.cell);
  return helps(edge) ? std::optional(edge) : std::nullopt;
}

at::Tensor tiled_decode(const AutoencoderKL& vae, const at::Tensor& z, std::int64_t tile, const RunContext& ctx) {
  return run_tiled(z, tile_layout(tile / vae.config().scale(), tile), ctx,
                   [&](const at::Tensor& part) { return vae.decode(part, ctx); });
}

DiagonalGaussianDistribution tiled_encode(const AutoencoderKL& vae, const at::Tensor& x, std::int64_t tile,
                                          const RunContext& ctx) {
  return vae.distribution_of(run_tiled(x, tile_layout(tile, tile / vae.config().scale()), ctx,
                                       [&](const at::Tensor& part) { return vae.moments(part, ctx); }));
}

}  // namespace easel
