// Compiled for AVX2 with FMA; see attention_blocks.h for what may be included.
#include "nn/kernels/attention_blocks.h"
#include "nn/kernels/vectors_avx2.h"

namespace easel::kernels {
namespace {

struct Float32 : Vectors8, Float32Rows {
  using Unit = float;

  static Sums larger(Sums a, Sums b) { return _mm256_max_ps(a, b); }
  static float largest_of(Sums v) {
    float numbers[kWidth], largest;
    _mm256_storeu_ps(numbers, v);
    largest = numbers[0];
    for (const float x : numbers) largest = x > largest ? x : largest;
    return largest;
  }
  static float sum_of(Sums v) {
    float numbers[kWidth], sum = 0;
    _mm256_storeu_ps(numbers, v);
    for (const float x : numbers) sum += x;
    return sum;
  }

  /// 2^x for x <= 0, with a relative error of 2e-7; results below 2^-126 are zero.
  static Sums exp2(Sums x) {
    const Sums whole = _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const Sums part = _mm256_sub_ps(x, whole);  // NaN for -infinity, which the mask below replaces
    Sums sum = _mm256_set1_ps(1.52527338e-5F);
    constexpr float kFactors[] = {
        1.54035304e-4F, 1.33335581e-3F, 9.61812911e-3F, 5.55041087e-2F, 0.240226507F, 0.693147181F, 1.0F};
    for (const float factor : kFactors) {
      sum = _mm256_fmadd_ps(sum, part, _mm256_set1_ps(factor));
    }
    const auto exponent = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(whole), _mm256_set1_epi32(127)), 23);
    const auto normal = _mm256_cmp_ps(x, _mm256_set1_ps(-126.0F), _CMP_GE_OQ);
    return _mm256_and_ps(normal, _mm256_mul_ps(sum, _mm256_castsi256_ps(exponent)));
  }
  static float exp2_of(float x) { return _mm256_cvtss_f32(exp2(all(x))); }

  static void store_weights(float* weights, int64_t key, Sums v) { _mm256_storeu_ps(weights + key, v); }
  static void store_result(void* output, int64_t offset, const float* sums, int64_t width, float factor) {
    auto* out = static_cast<float*>(output) + offset;
    for (int64_t d = 0; d < width; ++d) out[d] = sums[d] * factor;
  }
};

}  // namespace

const AttentionKernel& float32_attention_avx2() {
  return kAttentionKernel<Float32>;
}

}  // namespace easel::kernels
