#include "nn/transformer/rms_norm.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/rsqrt.h>

namespace easel {

RmsNorm::RmsNorm(const ModuleScope& scope, std::int64_t features, double eps)
    : weight_(scope.take("weight", {features})), eps_(eps) {}

at::Tensor RmsNorm::operator()(const at::Tensor& x) const {
  const auto wide = x.to(at::kFloat);
  const auto scale = at::rsqrt(wide.pow(2).mean({-1}, /*keepdim=*/true).add_(eps_));  // [..., 1]
  return (wide * scale).to(weight_.scalar_type()).mul_(weight_);
}

}  // namespace easel
