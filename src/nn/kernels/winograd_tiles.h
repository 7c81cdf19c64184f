// Winograd's convolution for one instruction set. Included only by the files that are compiled for it, and under the
// same conditions as attention_blocks.h.
#pragma once

#include <stdint.h>

#include "nn/kernels/register_blocks.h"
#include "nn/kernels/winograd_kernel.h"

namespace easel::kernels {
namespace {

/// F(4 x 4, 3 x 3) interpolates at the points 0, +-A, +-B and infinity. The usual 0, +-1, +-2 makes rounding errors
/// twice as large; of the points that are multiples of 1/8, these make the smallest (root mean square). All numbers
/// but kFactors are exact in float32.
struct WinogradPoints {
  static constexpr float kA = 5.0F / 8, kB = 3.0F / 2;
  static constexpr float kAA = kA * kA, kBB = kB * kB;
  static constexpr float kAAA = kAA * kA, kBBB = kBB * kB;
  /// Of the rows of weights: 1 / f(p), where f(p) is the product of the differences of p to the other points.
  static constexpr float kFactorZero = 1 / (kAA * kBB);
  static constexpr float kFactorA = 1 / (2 * kAA * (kAA - kBB));
  static constexpr float kFactorB = 1 / (2 * kBB * (kBB - kAA));
};

/// `Arith` supplies what RegisterBlocks needs for float32, arithmetic on its vectors, how channels are read and
/// written, and how many channels' products are added together before they are added to the rest (kPart). The rounding
/// of these sums is the largest error of the algorithm: with 16 channels, the whole error is 1.1 times that of sums in
/// the order of the definition for 64 channels, 0.9 for 128 and 0.6 for 512; with all channels in one sum, it is 1.7
/// times that.
template <class Arith>
class WinogradTiles {
  using Sums = typename Arith::Sums;
  using Points = WinogradPoints;
  using Blocks = RegisterBlocks<Arith>;
  static constexpr int64_t kWidth = Arith::kWidth;
  static constexpr int64_t kPanel = Arith::kColumns * kWidth;  // output channels whose weights are adjacent
  static constexpr int64_t kTile = kWinogradTile, kWindow = kTile + 2, kPositions = kWinogradPositions, kTaps = 9;
  /// Tiles that pass the weights together: enough that reading the weights takes a tenth of the time of the products,
  /// and as few as possible, since their values should stay in the cache.
  static constexpr int64_t kTiles = 8 * Arith::kRows;
  /// Numbers between the ends and starts of what belongs to two positions. Their distances would otherwise be multiples
  /// of 4 KiB, so that all 36 would compete for the same few lines of the first cache.
  static constexpr int64_t kGap = 16;

 public:
  static constexpr int64_t kTilesAtOnce = Arith::kRows;

  static int64_t weight_count(int64_t in_channels, int64_t out_channels) {
    return kPositions * (in_channels * whole_vectors(out_channels) + panels(out_channels) * kGap);
  }

  static int64_t weight_blocks(int64_t in_channels, int64_t out_channels) {
    return panels(out_channels) * in_blocks(in_channels);
  }

  /// Panels of kPanel output channels (the last may have fewer), each [kPositions, in_channels, channels of the panel].
  static void transform_weights(const float* source, int64_t in_channels, int64_t out_channels, int64_t block,
                                float* target) {
    const int64_t panel = block / in_blocks(in_channels), first_in = block % in_blocks(in_channels) * kWidth;
    const int64_t ins = smaller(in_channels - first_in, kWidth);
    const int64_t width = panel_width(panel, whole_vectors(out_channels)), stride = in_channels * width + kGap;
    target += panel_start(panel, in_channels) + first_in * width;
    for (int64_t vector = 0; vector < width; vector += kWidth) {
      const int64_t first_out = panel * kPanel + vector;
      alignas(64) float gathered[kWidth * kTaps][kWidth];  // of each input channel and tap, kWidth output channels
      gather_weights(source + (first_out * in_channels + first_in) * kTaps, in_channels * kTaps,
                     smaller(out_channels - first_out, kWidth), ins * kTaps, gathered);
      for (int64_t in = 0; in < ins; ++in) {
        transform_weight(gathered + in * kTaps, target + in * width + vector, stride);
      }
    }
  }

  static int64_t scratch_count(int64_t in_channels, int64_t out_channels) {
    return kPositions * (kTiles * (whole_vectors(in_channels) + whole_vectors(out_channels)) + 2 * kGap);
  }

  static void run(const WinogradConvolution& call, int64_t first, int64_t count, float* scratch) {
    const int64_t in_stride = whole_vectors(call.in_channels), out_stride = whole_vectors(call.out_channels);
    const int64_t value_stride = kTiles * in_stride + kGap, sum_stride = kTiles * out_stride + kGap;
    float* const values = scratch;                            // [kPositions, kTiles, in_stride]
    float* const sums = scratch + kPositions * value_stride;  // [kPositions, kTiles, out_stride]
    for (int64_t done = 0; done < count; done += kTiles) {
      const int64_t tiles = smaller(count - done, kTiles);
      for (int64_t t = 0; t < tiles; ++t) {
        transform_input(call, place_of(call, first + done + t), values + t * in_stride, value_stride);
      }
      for (int64_t position = 0; position < kPositions; ++position) {
        for (int64_t panel = 0; panel * kPanel < out_stride; ++panel) {
          const int64_t width = panel_width(panel, out_stride);
          const float* weights =
              call.weights + panel_start(panel, call.in_channels) + position * (call.in_channels * width + kGap);
          Blocks::multiply(tiles, width,
                           {.a = values + position * value_stride,
                            .a_stride = in_stride,
                            .b = weights,
                            .b_stride = width,
                            .depth = call.in_channels,
                            .part = Arith::kPart,
                            .out = sums + position * sum_stride + panel * kPanel,
                            .out_stride = out_stride,
                            .continued = false});
        }
      }
      for (int64_t t = 0; t < tiles; ++t) {
        transform_output(call, place_of(call, first + done + t), sums + t * out_stride, sum_stride);
      }
    }
  }

 private:
  struct Place {
    int64_t image, y, x;  // of a tile's first result
  };

  static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

  static int64_t panels(int64_t out_channels) { return (out_channels + kPanel - 1) / kPanel; }

  static int64_t in_blocks(int64_t in_channels) { return (in_channels + kWidth - 1) / kWidth; }

  static int64_t whole_vectors(int64_t channels) { return (channels + kWidth - 1) / kWidth * kWidth; }

  static int64_t panel_start(int64_t panel, int64_t in_channels) {
    return panel * kPositions * (in_channels * kPanel + kGap);
  }

  static int64_t panel_width(int64_t panel, int64_t out_stride) { return smaller(out_stride - panel * kPanel, kPanel); }

  static Place place_of(const WinogradConvolution& call, int64_t tile) {
    const int64_t across = (call.width + kTile - 1) / kTile, down = (call.height + kTile - 1) / kTile;
    return {tile / (across * down), tile / across % down * kTile, tile % across * kTile};
  }

  /// Transposes [rows, columns] of `source` into the first columns of `out`; rows that are not there are zeros.
  static void gather_weights(const float* source, int64_t stride, int64_t rows, int64_t columns, float (*out)[kWidth]) {
    for (int64_t column = 0; column < columns; column += kWidth) {
      const int64_t present = smaller(columns - column, kWidth);
      Sums block[kWidth];
      for (int64_t row = 0; row < kWidth; ++row) {
        block[row] = row < rows ? Arith::load_numbers(source + row * stride + column, present) : Arith::zero();
      }
      Arith::transpose(block);
      for (int64_t c = 0; c < kWidth; ++c) Arith::store(out[column + c], block[c]);
    }
  }

  /// The weights of an input channel for kWidth output channels: position (y, x) to out[(6 y + x) stride].
  static void transform_weight(const float (*taps)[kWidth], float* out, int64_t stride) {
    Sums columns[kWindow][3];
    for (int64_t x = 0; x < 3; ++x) {
      const Sums column[3] = {Arith::load(taps[x]), Arith::load(taps[3 + x]), Arith::load(taps[6 + x])};
      Sums expanded[kWindow];
      expand_weights(column, expanded);
      for (int64_t y = 0; y < kWindow; ++y) columns[y][x] = expanded[y];
    }
    for (int64_t y = 0; y < kWindow; ++y) {
      Sums expanded[kWindow];
      expand_weights(columns[y], expanded);
      for (int64_t x = 0; x < kWindow; ++x) Arith::store(out + (y * kWindow + x) * stride, expanded[x]);
    }
  }

  /// G w: the values of the polynomial w[0] + w[1] p + w[2] p^2 at all points, divided by f(p).
  static void expand_weights(const Sums (&w)[3], Sums (&out)[kWindow]) {
    const auto at_both = [&](float p, float factor, Sums& plus, Sums& minus) {
      const Sums even = Arith::times(Arith::multiply_add(w[2], Arith::all(p * p), w[0]), Arith::all(factor));
      const Sums odd = Arith::times(w[1], Arith::all(p * factor));
      plus = Arith::plus(even, odd);
      minus = Arith::minus(even, odd);
    };
    out[0] = Arith::times(w[0], Arith::all(Points::kFactorZero));
    at_both(Points::kA, Points::kFactorA, out[1], out[2]);
    at_both(Points::kB, Points::kFactorB, out[3], out[4]);
    out[5] = w[2];
  }

  /// B^T d.
  static void expand_input(const Sums (&d)[kWindow], Sums (&out)[kWindow]) {
    constexpr float kProduct = Points::kAA * Points::kBB, kSum = Points::kAA + Points::kBB;
    const auto at_both = [&](float p, float other, Sums& plus, Sums& minus) {
      const Sums even = Arith::multiply_add(d[2], Arith::all(-other), d[4]);
      const Sums odd = Arith::multiply_add(d[1], Arith::all(-other), d[3]);
      plus = Arith::multiply_add(odd, Arith::all(p), even);
      minus = Arith::multiply_add(odd, Arith::all(-p), even);
    };
    out[0] = Arith::multiply_add(d[2], Arith::all(-kSum), Arith::multiply_add(d[0], Arith::all(kProduct), d[4]));
    at_both(Points::kA, Points::kBB, out[1], out[2]);
    at_both(Points::kB, Points::kAA, out[3], out[4]);
    out[5] = Arith::multiply_add(d[3], Arith::all(-kSum), Arith::multiply_add(d[1], Arith::all(kProduct), d[5]));
  }

  /// A^T m.
  static void collect_output(const Sums (&m)[kWindow], Sums (&out)[kTile]) {
    const Sums even_a = Arith::plus(m[1], m[2]), odd_a = Arith::minus(m[1], m[2]);
    const Sums even_b = Arith::plus(m[3], m[4]), odd_b = Arith::minus(m[3], m[4]);
    out[0] = Arith::plus(m[0], Arith::plus(even_a, even_b));
    out[1] = Arith::multiply_add(odd_a, Arith::all(Points::kA), Arith::times(odd_b, Arith::all(Points::kB)));
    out[2] = Arith::multiply_add(even_a, Arith::all(Points::kAA), Arith::times(even_b, Arith::all(Points::kBB)));
    out[3] = Arith::multiply_add(odd_a, Arith::all(Points::kAAA),
                                 Arith::multiply_add(odd_b, Arith::all(Points::kBBB), m[5]));
  }

  /// The window of a tile, with zeros outside of the image: value (y, x) of channel c to out[(6 y + x) stride + c].
  static void transform_input(const WinogradConvolution& call, const Place& place, float* out, int64_t stride) {
    int64_t cells[kWindow][kWindow];  // where the channels of a cell begin; -1: outside
    for (int64_t y = 0; y < kWindow; ++y) {
      for (int64_t x = 0; x < kWindow; ++x) {
        const int64_t row = place.y + y - 1, column = place.x + x - 1;
        const bool inside = row >= 0 && row < call.height && column >= 0 && column < call.width;
        cells[y][x] = inside ? ((place.image * call.height + row) * call.width + column) * call.in_channels : -1;
      }
    }
    for (int64_t c = 0; c < call.in_channels; c += kWidth) {
      const int64_t present = smaller(call.in_channels - c, kWidth);
      Sums columns[kWindow][kWindow];
      for (int64_t x = 0; x < kWindow; ++x) {
        Sums column[kWindow], expanded[kWindow];
        for (int64_t y = 0; y < kWindow; ++y) {
          column[y] = cells[y][x] < 0 ? Arith::zero() : Arith::load_channels(call.input, cells[y][x] + c, present);
        }
        expand_input(column, expanded);
        for (int64_t y = 0; y < kWindow; ++y) columns[y][x] = expanded[y];
      }
      for (int64_t y = 0; y < kWindow; ++y) {
        Sums expanded[kWindow];
        expand_input(columns[y], expanded);
        for (int64_t x = 0; x < kWindow; ++x) Arith::store(out + (y * kWindow + x) * stride + c, expanded[x]);
      }
    }
  }

  static void transform_output(const WinogradConvolution& call, const Place& place, const float* sums, int64_t stride) {
    for (int64_t c = 0; c < call.out_channels; c += kWidth) {
      const int64_t present = smaller(call.out_channels - c, kWidth);
      const int64_t channel = call.first_out_channel + c;
      const Sums bias = call.bias == nullptr ? Arith::zero() : Arith::load_numbers(call.bias + channel, present);
      Sums columns[kTile][kWindow];
      for (int64_t x = 0; x < kWindow; ++x) {
        Sums column[kWindow], collected[kTile];
        for (int64_t y = 0; y < kWindow; ++y) column[y] = Arith::load(sums + (y * kWindow + x) * stride + c);
        collect_output(column, collected);
        for (int64_t y = 0; y < kTile; ++y) columns[y][x] = collected[y];
      }
      for (int64_t y = 0; y < kTile && place.y + y < call.height; ++y) {
        Sums collected[kTile];
        collect_output(columns[y], collected);
        const int64_t row = (place.image * call.height + place.y + y) * call.width + place.x;
        for (int64_t x = 0; x < kTile && place.x + x < call.width; ++x) {
          Arith::store_channels(call.output, (row + x) * call.all_out_channels + channel, present,
                                Arith::plus(collected[x], bias));
        }
      }
    }
  }
};

template <class Arith>
constexpr WinogradKernel kWinogradKernel{.transform_weights = &WinogradTiles<Arith>::transform_weights,
                                         .weight_blocks = &WinogradTiles<Arith>::weight_blocks,
                                         .weight_count = &WinogradTiles<Arith>::weight_count,
                                         .run = &WinogradTiles<Arith>::run,
                                         .scratch_count = &WinogradTiles<Arith>::scratch_count,
                                         .tiles_at_once = WinogradTiles<Arith>::kTilesAtOnce};

}  // namespace
}  // namespace easel::kernels
