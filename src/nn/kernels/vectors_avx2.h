// Vectors of 8 float32 numbers. Included only by files that are compiled for AVX2 with FMA, under the same conditions
// as attention_blocks.h.
#pragma once

#include <immintrin.h>
#include <stdint.h>

namespace easel::kernels {
namespace {

/// The numbers themselves, and products of them.
struct Vectors8 {
  using Unit = float;
  using Sums = __m256;
  using Operand = __m256;
  static constexpr int64_t kWidth = 8, kRows = 6, kColumns = 2;

  static Sums zero() { return _mm256_setzero_ps(); }
  static Sums all(float x) { return _mm256_set1_ps(x); }
  static Sums load(const float* x) { return _mm256_loadu_ps(x); }
  static void store(float* x, Sums v) { _mm256_storeu_ps(x, v); }
  static Sums plus(Sums a, Sums b) { return _mm256_add_ps(a, b); }
  static Sums minus(Sums a, Sums b) { return _mm256_sub_ps(a, b); }
  static Sums times(Sums a, Sums b) { return _mm256_mul_ps(a, b); }
  static Operand load_units(const float* x) { return _mm256_loadu_ps(x); }
  static Operand broadcast(const float* x) { return _mm256_broadcast_ss(x); }
  static Sums multiply_add(Operand a, Operand b, Sums sum) { return _mm256_fmadd_ps(a, b, sum); }
};

}  // namespace
}  // namespace easel::kernels
