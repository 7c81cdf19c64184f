// The matrix product that takes most of a transformer's time.
#pragma once

#include <ATen/core/Tensor.h>

namespace easel {

/// y = x W^T + b over the last dimension, as at::linear, computed by the library that is faster on this machine.
/// @param input   [..., in]
/// @param weight  [out, in], of the same dtype and device; may be packed (nn/packed_weight.h)
/// @param bias    [out]; undefined for none
/// @return [..., out]
at::Tensor affine(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias = {});

/// Whether affine multiplies float32 matrices with oneDNN. libtorch does it with MKL, whose fastest kernels run only on
/// Intel's CPUs. On AMD's (measured on Zen 4, 2 cores), oneDNN is 1.1 to 1.7 times as fast at the sizes of SD 1.5's
/// layers.
bool affine_uses_onednn();

}  // namespace easel
