// Compiled for AVX2 with FMA; see attention_blocks.h for what may be included.
#include "nn/kernels/vectors_avx2.h"
#include "nn/kernels/winograd_tiles.h"

namespace easel::kernels {
namespace {

struct Float32 : Vectors8 {
  static constexpr int64_t kPart = 16;

  static __m256i mask_of(int64_t count) {
    const auto lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), lanes);
  }
  static Sums load_numbers(const float* x, int64_t count) { return _mm256_maskload_ps(x, mask_of(count)); }
  static Sums load_channels(const void* x, int64_t offset, int64_t count) {
    return load_numbers(static_cast<const float*>(x) + offset, count);
  }
  static void store_channels(void* x, int64_t offset, int64_t count, Sums v) {
    _mm256_maskstore_ps(static_cast<float*>(x) + offset, mask_of(count), v);
  }

  /// Rows become columns.
  static void transpose(Sums (&rows)[kWidth]) {
    Sums pairs[kWidth], quads[kWidth];
    for (int64_t i = 0; i < kWidth; i += 2) {
      pairs[i] = _mm256_unpacklo_ps(rows[i], rows[i + 1]);
      pairs[i + 1] = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
    }
    for (int64_t i = 0; i < kWidth; i += 4) {
      for (int64_t j = 0; j < 2; ++j) {
        quads[i + 2 * j] = _mm256_shuffle_ps(pairs[i + j], pairs[i + j + 2], 0x44);
        quads[i + 2 * j + 1] = _mm256_shuffle_ps(pairs[i + j], pairs[i + j + 2], 0xEE);
      }
    }
    for (int64_t j = 0; j < 4; ++j) {
      rows[j] = _mm256_permute2f128_ps(quads[j], quads[4 + j], 0x20);
      rows[4 + j] = _mm256_permute2f128_ps(quads[j], quads[4 + j], 0x31);
    }
  }
};

}  // namespace

const WinogradKernel& float32_winograd_avx2() {
  return kWinogradKernel<Float32>;
}

}  // namespace easel::kernels
