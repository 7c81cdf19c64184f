#include "schedulers/numerics/numpy_math.h"

#include <cmath>
#include <cstdint>

namespace easel::numpy {

std::vector<double> linspace(double start, double stop, std::int64_t count) {
  const double step = count > 1 ? (stop - start) / static_cast<double>(count - 1) : 0.0;
  std::vector<double> points;
  points.reserve(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) points.push_back(static_cast<double>(i) * step + start);
  if (count > 1) points.back() = stop;
  return points;
}

std::vector<double> arange(double start, double stop, double step) {
  const auto length = static_cast<std::int64_t>(std::ceil((stop - start) / step));
  // numpy computes the first two values and continues with their difference, which can differ from `step`.
  const double delta = (start + step) - start;
  std::vector<double> values;
  for (std::int64_t i = 0; i < length; ++i) values.push_back(start + static_cast<double>(i) * delta);
  return values;
}

double round(double x) {
  return std::nearbyint(x);
}

double interp(double x, std::span<const float> values) {
  const double last = static_cast<double>(values.size() - 1);
  if (!(x > 0)) return values.front();
  if (x >= last) return values.back();
  const auto i = static_cast<std::size_t>(x);
  const double from_i = x - static_cast<double>(i);
  if (from_i == 0) return values[i];
  const double slope = static_cast<double>(values[i + 1]) - static_cast<double>(values[i]);
  return slope * from_i + static_cast<double>(values[i]);
}

// numpy's AVX2 and AVX-512 kernels: log(2^e * (1 + x)) = e * log(2) + P(x) / Q(x), Horner's rule with fused
// multiply-adds, mantissas in (sqrt(1/2), sqrt(2)].
float log(float value) {
  constexpr float kSqrtHalf = 0.70710678118654752440f, kLog2 = 0.69314718055994530942f;
  constexpr float kP[] = {2.589979117907922693523e-02f, 3.808837741388407920751e-01f, 1.480000633576506585156e+00f,
                          2.112677543073053063722e+00f, 9.999999999999998702752e-01f, 0.0f};
  constexpr float kQ[] = {5.875095403124574342950e-03f, 1.546476374983906719538e-01f, 9.864942958519418960339e-01f,
                          2.453006071784736363091e+00f, 2.612677543073109236779e+00f, 1.0f};
  if (!(value > 0) || std::isinf(value)) return std::log(value);
  int exponent = 0;
  float mantissa = std::frexp(value, &exponent);
  if (mantissa <= kSqrtHalf) {
    mantissa *= 2;
    --exponent;
  }
  const float x = mantissa - 1;
  float p = kP[0], q = kQ[0];
  for (int i = 1; i < 6; ++i) {
    p = std::fma(p, x, kP[i]);
    q = std::fma(q, x, kQ[i]);
  }
  return std::fma(static_cast<float>(exponent), kLog2, p / q);
}

}  // namespace easel::numpy
