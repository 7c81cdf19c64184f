// Quantiles of a symmetric beta distribution, which "beta" sigmas are placed by.
#pragma once

namespace easel {

/// The x below which Beta(shape, shape) has the share p; within 4e-15 * x of scipy.stats.beta.ppf.
/// @param p  0 to 1 @param shape  about 1
double symmetric_beta_quantile(double p, double shape);

}  // namespace easel
