// Vectors of 16 float32 numbers. Included only by files that are compiled for AVX-512, under the same conditions as
// attention_blocks.h.
#pragma once

#ifndef __clang__
// GCC 12 reports the undefined registers that its own intrinsics start from (its bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#include <immintrin.h>
#include <stdint.h>

namespace easel::kernels {
namespace {

struct Vectors16 {
  using Sums = __m512;
  static constexpr int64_t kWidth = 16, kRows = 6, kColumns = 4;

  static Sums zero() { return _mm512_setzero_ps(); }
  static Sums all(float x) { return _mm512_set1_ps(x); }
  static Sums load(const float* x) { return _mm512_loadu_ps(x); }
  static void store(float* x, Sums v) { _mm512_storeu_ps(x, v); }
  static Sums plus(Sums a, Sums b) { return _mm512_add_ps(a, b); }
  static Sums minus(Sums a, Sums b) { return _mm512_sub_ps(a, b); }
  static Sums times(Sums a, Sums b) { return _mm512_mul_ps(a, b); }
};

/// Products of float32 numbers.
struct Products16 {
  using Unit = float;
  using Operand = __m512;

  static Operand load_units(const float* x) { return _mm512_loadu_ps(x); }
  static Operand broadcast(const float* x) { return _mm512_set1_ps(*x); }
  static __m512 multiply_add(Operand a, Operand b, __m512 sum) { return _mm512_fmadd_ps(a, b, sum); }
};

}  // namespace
}  // namespace easel::kernels
