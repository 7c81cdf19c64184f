// Python's arithmetic on tensors, call for call as torch makes it, so that rounding and dtype promotion agree.
//
// Coefficients are 0-dim float32 tensors on the CPU: they do not promote a float16 sample, and a CUDA kernel takes one
// as an argument, without a copy or a synchronisation. C++ operators serve for the rest; a number on the left of - or /
// has no faithful operator and is written with these.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/reciprocal.h>
#include <ATen/ops/rsub.h>

namespace easel {

inline at::Tensor one_minus(const at::Tensor& x) {
  return at::rsub(x, 1);
}
inline at::Tensor one_over(const at::Tensor& x) {
  return at::reciprocal(x);
}
inline at::Tensor square(const at::Tensor& x) {
  return at::pow(x, 2);
}
inline at::Tensor square_root(const at::Tensor& x) {
  return at::pow(x, 0.5);
}

}  // namespace easel
