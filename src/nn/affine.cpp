#include "nn/affine.h"

#include <ATen/Context.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/linear.h>

#include "nn/packed_weight.h"

namespace easel {
namespace {

bool is_plain(const at::Tensor& tensor) {
  return tensor.device().is_cpu() && tensor.scalar_type() == at::kFloat;
}

}  // namespace

bool affine_uses_onednn() {
#if defined(__x86_64__)
  static const bool uses = __builtin_cpu_is("amd") && at::hasMKL() && at::globalContext().userEnabledMkldnn() &&
                           c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""}).has_value();
  return uses;
#else
  return false;
#endif
}

at::Tensor affine(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias) {
  const bool has_rows = input.dim() >= 2 && input.numel() > 0;
  if (is_packed(weight)) {
    return has_rows ? onednn_linear(input, weight, bias) : at::linear(input, unpacked(weight), bias);
  }
  if (!affine_uses_onednn() || !is_plain(input) || !is_plain(weight) || !has_rows) {
    return at::linear(input, weight, bias);
  }
  return onednn_linear(input, weight, bias);
}

}  // namespace easel
