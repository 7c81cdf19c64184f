#include "nn/transformer/adaptive_norm.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/layer_norm.h>

#include "nn/activation.h"

namespace easel {

AdaptiveModulation::AdaptiveModulation(const ModuleScope& scope, std::int64_t dim, std::int64_t parts, Bias bias)
    : linear_(scope, dim, parts * dim, bias), parts_(parts) {}

std::vector<at::Tensor> AdaptiveModulation::operator()(const at::Tensor& embedding, const RunContext& ctx) const {
  return linear_(activate(Activation::kSilu, embedding), ctx).unsqueeze(1).chunk(parts_, /*dim=*/2);
}

at::Tensor modulated_layer_norm(const at::Tensor& x, const at::Tensor& shift, const at::Tensor& scale, double eps) {
  return at::layer_norm(x, {x.size(-1)}, /*weight=*/{}, /*bias=*/{}, eps).mul_(scale + 1).add_(shift);
}

}  // namespace easel
