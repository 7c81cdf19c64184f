// Compiled for AVX-512 with BF16; see attention_blocks.h for what may be included.
#include "nn/kernels/attention_blocks.h"
#include "nn/kernels/vectors_avx512.h"

namespace easel::kernels {
namespace {

/// Sums of 16 float32 numbers.
struct Sums16 : Vectors16 {
  static Sums larger(Sums a, Sums b) { return _mm512_max_ps(a, b); }
  static float largest_of(Sums v) { return _mm512_reduce_max_ps(v); }
  static float sum_of(Sums v) { return _mm512_reduce_add_ps(v); }

  /// 2^x for x <= 0, with a relative error of 2e-7: the fraction by a polynomial (Taylor's up to ln(2)^7 / 7!), the
  /// rest by the exponent.
  static Sums exp2(Sums x) {
    const Sums whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const Sums part = _mm512_sub_ps(x, whole);  // NaN for -infinity, which the mask below replaces
    Sums sum = _mm512_set1_ps(1.52527338e-5F);
    constexpr float kFactors[] = {
        1.54035304e-4F, 1.33335581e-3F, 9.61812911e-3F, 5.55041087e-2F, 0.240226507F, 0.693147181F, 1.0F};
    for (const float factor : kFactors) {
      sum = _mm512_fmadd_ps(sum, part, _mm512_set1_ps(factor));
    }
    const auto finite = _mm512_cmp_ps_mask(x, _mm512_set1_ps(-200.0F), _CMP_GT_OQ);
    return _mm512_maskz_scalef_ps(finite, sum, whole);
  }
  static float exp2_of(float x) { return _mm512_cvtss_f32(exp2(all(x))); }
};

struct Float32 : Sums16, Products16, Float32Rows {
  using Unit = float;

  static void store_weights(float* weights, int64_t key, Sums v) { _mm512_storeu_ps(weights + key, v); }
  static void store_result(void* output, int64_t offset, const float* sums, int64_t width, float factor) {
    auto* out = static_cast<float*>(output) + offset;
    for (int64_t d = 0; d < width; d += kWidth) {
      const auto mask = static_cast<__mmask16>(width - d >= kWidth ? 0xFFFF : (1U << (width - d)) - 1);
      _mm512_mask_storeu_ps(out + d, mask, times(load(sums + d), all(factor)));
    }
  }
};

struct BFloat16 : Sums16 {
  using Unit = uint32_t;
  using Operand = __m512bh;
  static constexpr int64_t kPerUnit = 2;

  static const uint32_t* units(const void* rows, int64_t offset) {
    return reinterpret_cast<const uint32_t*>(static_cast<const uint16_t*>(rows) + offset);
  }
  static uint32_t column(const void* rows, int64_t key, int64_t keys, int64_t stride, int64_t d) {
    const auto* at = static_cast<const uint16_t*>(rows) + key * stride + d;
    const uint32_t low = key < keys ? at[0] : 0, high = key + 1 < keys ? at[stride] : 0;
    return low | high << 16;
  }
  static Operand load_units(const uint32_t* x) { return reinterpret_cast<__m512bh>(_mm512_loadu_si512(x)); }
  static Operand broadcast(const uint32_t* x) {
    return reinterpret_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(*x)));
  }
  static Sums multiply_add(Operand a, Operand b, Sums sum) { return _mm512_dpbf16_ps(sum, a, b); }
  static void store_weights(uint32_t* weights, int64_t key, Sums v) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(weights + key / 2),
                        reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(v)));
  }
  static void store_result(void* output, int64_t offset, const float* sums, int64_t width, float factor) {
    auto* out = static_cast<uint16_t*>(output) + offset;
    for (int64_t d = 0; d < width; d += kWidth) {
      const auto mask = static_cast<__mmask16>(width - d >= kWidth ? 0xFFFF : (1U << (width - d)) - 1);
      const auto rounded = _mm512_cvtneps_pbh(times(load(sums + d), all(factor)));
      _mm256_mask_storeu_epi16(out + d, mask, reinterpret_cast<__m256i>(rounded));
    }
  }
};

}  // namespace

const AttentionKernel& float32_attention_avx512() {
  return kAttentionKernel<Float32>;
}

const AttentionKernel& bfloat16_attention_avx512() {
  return kAttentionKernel<BFloat16>;
}

}  // namespace easel::kernels
