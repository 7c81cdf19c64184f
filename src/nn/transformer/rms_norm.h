// Normalisation by the root mean square.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "nn/module_scope.h"

namespace easel {

/// x / sqrt(mean(x^2) + eps) * weight over the last dimension (Zhang and Sennrich 2019, arXiv:1910.07467). The mean is
/// taken in float32 whatever the dtype, and the normalised values are rounded to the weight's dtype before they are
/// scaled, as diffusers and transformers do. Immutable; thread-safe.
class RmsNorm {
 public:
  RmsNorm(const ModuleScope& scope, std::int64_t features, double eps);
  at::Tensor operator()(const at::Tensor& x) const;  // [..., features], a new tensor of the same shape

 private:
  at::Tensor weight_;  // [features]
  double eps_;
};

}  // namespace easel
