// Python's arithmetic on tensors, with the same torch calls, so that rounding and dtype promotion agree.
//
// Coefficients are 0-dim float32 tensors on the CPU: they do not promote a float16 sample, and a CUDA kernel takes one
// as an argument, without a copy or a synchronisation. Other arithmetic uses the C++ operators; these functions are for
// cases in which torch's C++ operators make other calls, such as a number on the left of - or /.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>

namespace easel {

at::Tensor one_minus(const at::Tensor& x);    ///< 1 - x
at::Tensor one_over(const at::Tensor& x);     ///< 1 / x
at::Tensor square(const at::Tensor& x);       ///< x ** 2
at::Tensor square_root(const at::Tensor& x);  ///< x ** 0.5

}  // namespace easel
