#include "schedulers/numerics/tensor_math.h"

#include <ATen/ops/pow.h>
#include <ATen/ops/reciprocal.h>
#include <ATen/ops/rsub.h>

namespace easel {

at::Tensor one_minus(const at::Tensor& x) {
  return at::rsub(x, 1);
}

at::Tensor one_over(const at::Tensor& x) {
  return at::reciprocal(x);
}

at::Tensor square(const at::Tensor& x) {
  return at::pow(x, 2);
}

at::Tensor square_root(const at::Tensor& x) {
  return at::pow(x, 0.5);
}

}  // namespace easel
