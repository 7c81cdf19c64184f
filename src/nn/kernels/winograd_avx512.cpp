// Compiled for AVX-512 with BF16; see attention_blocks.h for what may be included.
#include "nn/kernels/vectors_avx512.h"
#include "nn/kernels/winograd_tiles.h"

namespace easel::kernels {
namespace {

struct Channels16 : Vectors16, Products16 {
  static __mmask16 mask_of(int64_t count) { return static_cast<__mmask16>((1U << count) - 1); }
  static Sums load_numbers(const float* x, int64_t count) { return _mm512_maskz_loadu_ps(mask_of(count), x); }

  /// Rows become columns.
  static void transpose(Sums (&rows)[kWidth]) {
    Sums pairs[kWidth], quads[kWidth], halves[kWidth];
    for (int64_t i = 0; i < kWidth; i += 2) {
      pairs[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
      pairs[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
    }
    for (int64_t i = 0; i < kWidth; i += 4) {  // column 4 k + j of rows i to i + 3 is lane k of quads[i + j]
      for (int64_t j = 0; j < 2; ++j) {
        const auto low = _mm512_castps_pd(pairs[i + j]), high = _mm512_castps_pd(pairs[i + j + 2]);
        quads[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, high));
        quads[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, high));
      }
    }
    for (int64_t j = 0; j < 4; ++j) {  // lanes of four vectors, which are a 4 x 4 matrix of lanes, change places
      halves[j] = _mm512_shuffle_f32x4(quads[j], quads[4 + j], 0x44);
      halves[4 + j] = _mm512_shuffle_f32x4(quads[j], quads[4 + j], 0xEE);
      halves[8 + j] = _mm512_shuffle_f32x4(quads[8 + j], quads[12 + j], 0x44);
      halves[12 + j] = _mm512_shuffle_f32x4(quads[8 + j], quads[12 + j], 0xEE);
    }
    for (int64_t j = 0; j < 4; ++j) {
      rows[j] = _mm512_shuffle_f32x4(halves[j], halves[8 + j], 0x88);
      rows[4 + j] = _mm512_shuffle_f32x4(halves[j], halves[8 + j], 0xDD);
      rows[8 + j] = _mm512_shuffle_f32x4(halves[4 + j], halves[12 + j], 0x88);
      rows[12 + j] = _mm512_shuffle_f32x4(halves[4 + j], halves[12 + j], 0xDD);
    }
  }
};

struct Float32 : Channels16 {
  static constexpr int64_t kPart = 16;
  static Sums load_channels(const void* x, int64_t offset, int64_t count) {
    return load_numbers(static_cast<const float*>(x) + offset, count);
  }
  static void store_channels(void* x, int64_t offset, int64_t count, Sums v) {
    _mm512_mask_storeu_ps(static_cast<float*>(x) + offset, mask_of(count), v);
  }
};

struct BFloat16 : Channels16 {
  static constexpr int64_t kPart = 1024;  // the rounding of the result is a thousand times as large

  static Sums load_channels(const void* x, int64_t offset, int64_t count) {
    const auto half = _mm256_maskz_loadu_epi16(mask_of(count), static_cast<const uint16_t*>(x) + offset);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
  }
  static void store_channels(void* x, int64_t offset, int64_t count, Sums v) {
    _mm256_mask_storeu_epi16(static_cast<uint16_t*>(x) + offset, mask_of(count),
                             reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(v)));
  }
};

}  // namespace

const WinogradKernel& float32_winograd_avx512() {
  return kWinogradKernel<Float32>;
}

const WinogradKernel& bfloat16_winograd_avx512() {
  return kWinogradKernel<BFloat16>;
}

}  // namespace easel::kernels
