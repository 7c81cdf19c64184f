#include "nn/unet/k_resample.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/conv_transpose2d.h>
#include <ATen/ops/reflection_pad2d.h>
#include <ATen/ops/tensor.h>

namespace easel {
namespace {

/// @param gain  of the sum of all weights along an axis
at::Tensor make_kernel(double gain, const Placement& placement) {
  const auto axis = at::tensor({gain * 1 / 8, gain * 3 / 8, gain * 3 / 8, gain * 1 / 8}, at::kFloat);
  const auto kernel = axis.unsqueeze(1) * axis.unsqueeze(0);  // small dyadic fractions, which are exact
  return kernel.view({1, 1, 4, 4}).to(placement.device, placement.dtype);
}

/// One row or column on each side.
at::Tensor mirror_edges(const at::Tensor& x) {
  return at::reflection_pad2d(x, {1, 1, 1, 1});
}

at::Tensor for_each_channel(const at::Tensor& kernel, std::int64_t channels) {
  return kernel.expand({channels, 1, 4, 4});
}

}  // namespace

KDownsample2D::KDownsample2D(const Placement& placement) : kernel_(make_kernel(1, placement)) {}

at::Tensor KDownsample2D::operator()(const at::Tensor& x) const {
  const auto channels = x.size(1);
  return at::conv2d(mirror_edges(x), for_each_channel(kernel_, channels), /*bias=*/{}, /*stride=*/{2, 2},
                    /*padding=*/at::IntArrayRef({0, 0}), /*dilation=*/{1, 1}, /*groups=*/channels);
}

KUpsample2D::KUpsample2D(const Placement& placement) : kernel_(make_kernel(2, placement)) {}

at::Tensor KUpsample2D::operator()(const at::Tensor& x) const {
  const auto channels = x.size(1);
  return at::conv_transpose2d(mirror_edges(x), for_each_channel(kernel_, channels), /*bias=*/{}, /*stride=*/{2, 2},
                              /*padding=*/{3, 3}, /*output_padding=*/{0, 0}, /*groups=*/channels);
}

}  // namespace easel
