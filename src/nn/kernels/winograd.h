// Convolutions with 3 x 3 kernels on a CPU by Winograd's algorithm.
//
// It needs a quarter of the multiplications of a convolution by its definition. On Zen 4, oneDNN's convolutions reach
// what the processor can multiply, and these take a third of their time in float32 and two thirds in bfloat16, as long
// as there are enough pixels for the transformation of the weights, which is made at each call, to pay.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace easel {

/// A convolution with square kernels.
struct ConvolutionShape {
  std::int64_t images, in_channels, out_channels;
  std::int64_t height, width;  ///< of the input
  std::int64_t kernel, stride, padding;
};

/// @param input   [B, in, H, W]
/// @param weight  [out, in, k, k]
ConvolutionShape convolution_shape(const at::Tensor& input, const at::Tensor& weight, std::int64_t stride,
                                   std::int64_t padding);

/// Whether winograd_convolution is faster than oneDNN for this shape, with stride 1 and padding 1, on a machine that
/// has a kernel for the dtype. It does not depend on the number of images, so that an image does not depend on the
/// others of its batch.
bool is_winograd_faster(const ConvolutionShape& shape, c10::ScalarType dtype);

/// Whether winograd_convolution is to compute this shape: if this machine has a kernel for the dtype, see
/// instructions_for(), and it is faster. The environment variable EASEL_WINOGRAD, if it is `always` at the first call,
/// has all shapes computed that can be, and none if it is `never`: to compare images and speed.
bool uses_winograd(const ConvolutionShape& shape, c10::ScalarType dtype);

/// A convolution with stride 1 and padding 1. Thread-safe. Products are added in float32: from 128 channels
/// on, the error is smaller than that of float32 sums in the order of the definition, and in bfloat16 it is the
/// rounding of the result. An image's result does not depend on the other images of the batch.
/// @param input   [B, in, H, W] on the CPU, float32 or bfloat16, for which this machine has a kernel
/// @param weight  [out, in, 3, 3], plain, of the same dtype
/// @param bias    [out]; undefined for none
/// @return [B, out, H, W] in channels_last
at::Tensor winograd_convolution(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias);

/// Bytes that a call allocates besides its result and a copy of its input in channels_last.
/// @param is_contiguous  whether the weight is contiguous, and not channels_last
/// @param threads        that compute
std::int64_t winograd_bytes(const ConvolutionShape& shape, c10::ScalarType dtype, bool is_contiguous,
                            std::int64_t threads);

}  // namespace easel
