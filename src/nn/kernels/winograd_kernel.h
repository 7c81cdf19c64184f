// Convolutions with 3 x 3 kernels by Winograd's algorithm F(4 x 4, 3 x 3): plain functions over memory, each compiled
// for its instructions. nn/kernels/winograd.h chooses between them.
//
// The algorithm (Lavin and Gray 2016, arXiv:1509.09308) computes tiles of 4 x 4 results from windows of 6 x 6 values
// with 36 multiplications for each pair of channels, where the definition takes 144.
#pragma once

#include <cstdint>

namespace easel::kernels {

constexpr std::int64_t kWinogradTile = 4;        ///< rows and columns of results that a tile has
constexpr std::int64_t kWinogradPositions = 36;  ///< products for each pair of channels and tile

/// A convolution with stride 1 and one row or column of padding on each side, or the part of it that computes some of
/// its output channels. Tiles are numbered through all images, by rows.
struct WinogradConvolution {
  const void* input;  ///< [images, height, width, in_channels]
  std::int64_t images, height, width, in_channels;
  const float* weights;  ///< by transform_weights, of the output channels of this part
  const float* bias;     ///< [all_out_channels], or null
  void* output;          ///< [images, height, width, all_out_channels]
  std::int64_t all_out_channels;
  std::int64_t first_out_channel, out_channels;  ///< of this part
};

/// The same computation with one kind of instructions. Thread-safe.
struct WinogradKernel {
  /// Transforms a block of the weights of `out_channels` output channels.
  /// @param source  [out_channels, in_channels, 3, 3]
  /// @param block   from 0 to weight_blocks(in_channels, out_channels) - 1
  /// @param target  weight_count(in_channels, out_channels) numbers, of which the block's are written
  void (*transform_weights)(const float* source, std::int64_t in_channels, std::int64_t out_channels,
                            std::int64_t block, float* target);
  std::int64_t (*weight_blocks)(std::int64_t in_channels, std::int64_t out_channels);
  /// Numbers that the transformed weights take.
  std::int64_t (*weight_count)(std::int64_t in_channels, std::int64_t out_channels);

  /// Computes `count` tiles from `first` on. A tile's result does not depend on the others.
  /// @param scratch  scratch_count(...) numbers
  void (*run)(const WinogradConvolution& call, std::int64_t first, std::int64_t count, float* scratch);
  std::int64_t (*scratch_count)(std::int64_t in_channels, std::int64_t out_channels);
  std::int64_t tiles_at_once;  ///< a number of tiles that is computed at the same speed as any multiple of it
};

// Each may only be called on a processor with its instructions. None exists for other processors than x86.
const WinogradKernel& float32_winograd_avx2();     // with FMA
const WinogradKernel& float32_winograd_avx512();   // F, DQ, BW and VL
const WinogradKernel& bfloat16_winograd_avx512();  // BF16 as well; it multiplies in float32

}  // namespace easel::kernels
