// The matrix product that takes most of a transformer's time.
#pragma once

#include <ATen/core/Tensor.h>

namespace easel {

/// y = x W^T + b over the last dimension, as at::linear, computed by the library that is faster on this machine.
/// @param input   [..., in]
/// @param weight  [out, in], of the same dtype and device
/// @param bias    [out]; undefined for none
/// @return [..., out]
at::Tensor affine(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias = {});

}  // namespace easel
