#include "schedulers/numerics/beta_distribution.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace easel {
namespace {

constexpr double kShape = 0.6;
// scipy's median, one bit above 1/2. The middle sigma of a run with an odd number of steps lies halfway between its
// ends, and often exactly halfway between two float32 numbers, so this bit decides how the sigma is rounded.
constexpr double kMedian = 0x1.0000000000001p-1;
constexpr double kEpsilon = std::numeric_limits<double>::epsilon();
constexpr int kMaxTerms = 200, kMaxIterations = 50;  // 60 and 6 are enough; these bounds stop a loop with a NaN

// I_x(a, a) * B(a, a) / x^a for a = kShape, by its power series (DLMF 8.17.7), whose terms at least halve from one to
// the next where x is at most 1/2.
double scaled_incomplete_beta(double x) {
  double sum = 1 / kShape, factor = 1;
  for (int n = 1; n < kMaxTerms; ++n) {
    factor *= (n - kShape) / n * x;
    const double term = factor / (kShape + n);
    sum += term;
    if (std::fabs(term) < sum * kEpsilon / 8) break;
  }
  return sum;
}

}  // namespace

double beta_sigma_quantile(double p) {
  if (p <= 0) return 0;
  if (p >= 1) return 1;
  if (p == 0.5) return kMedian;
  if (p > 0.5) return 1 - beta_sigma_quantile(1 - p);
  const double beta = std::tgamma(kShape) * std::tgamma(kShape) / std::tgamma(2 * kShape);
  // Newton's method in u = x^kShape, of which the distribution function is nearly linear.
  double u = p * beta * kShape;
  for (int i = 0; i < kMaxIterations; ++i) {
    const double x = std::min(std::pow(u, 1 / kShape), 0.5);
    const double slope = std::pow(1 - x, kShape - 1) / (kShape * beta);
    const double step = (u * scaled_incomplete_beta(x) / beta - p) / slope;
    u -= step;
    if (std::fabs(step) <= kEpsilon * u) break;
  }
  return std::pow(u, 1 / kShape);
}

}  // namespace easel
