#include "schedulers/numerics/beta_distribution.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace easel {
namespace {

constexpr double kEpsilon = std::numeric_limits<double>::epsilon();
constexpr int kMaxTerms = 200, kMaxIterations = 50;  // 60 and 6 are enough; these end a loop that met a NaN

// I_x(shape, shape) * B(shape, shape) / x^shape, by its power series (DLMF 8.17.7), which halves from term to term
// where x is at most 1/2.
double scaled_incomplete_beta(double x, double shape) {
  double sum = 1 / shape, factor = 1;
  for (int n = 1; n < kMaxTerms; ++n) {
    factor *= (n - shape) / n * x;
    const double term = factor / (shape + n);
    sum += term;
    if (std::fabs(term) < sum * kEpsilon / 8) break;
  }
  return sum;
}

}  // namespace

double symmetric_beta_quantile(double p, double shape) {
  if (p <= 0) return 0;
  if (p >= 1) return 1;
  if (p > 0.5) return 1 - symmetric_beta_quantile(1 - p, shape);
  const double beta = std::tgamma(shape) * std::tgamma(shape) / std::tgamma(2 * shape);
  // Newton's method in u = x^shape, in which the distribution function is nearly straight.
  double u = p * beta * shape;
  for (int i = 0; i < kMaxIterations; ++i) {
    const double x = std::min(std::pow(u, 1 / shape), 0.5);
    const double slope = std::pow(1 - x, shape - 1) / (shape * beta);
    const double step = (u * scaled_incomplete_beta(x, shape) / beta - p) / slope;
    u -= step;
    if (std::fabs(step) <= kEpsilon * u) break;
  }
  return std::pow(u, 1 / shape);
}

}  // namespace easel
