// Weights in the layout that oneDNN computes with.
//
// oneDNN multiplies blocks of a weight that lie together in memory. From a plain weight it makes such a copy at every
// call, which takes up to half the time of a convolution with few pixels. A packed weight is that copy, made once; it
// takes the place of the plain one. On Zen 4 (2 cores) the convolutions of SD 1.5 at 16 x 16 and 8 x 8 cells become 1.3
// to 2.4 times as fast and its linear layers 1.05 to 1.3 times. Results are equal to the bit.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace easel {

/// Whether this program packs the weights of convolutions in a dtype on a CPU.
bool packs_convolutions(c10::ScalarType dtype);

/// The weight of a linear layer, [out, in], for affine(); the argument itself where it is better left as it is.
at::Tensor pack_linear_weight(const at::Tensor& weight);

/// The weight of a convolution, [out, in, k, k], for packed_convolution; the argument itself where it is better left as
/// it is, which a kernel of one pixel always is: its blocks depend on the size of the input.
at::Tensor pack_convolution_weight(const at::Tensor& weight, std::int64_t stride, std::int64_t padding);

/// Whether a weight is packed. It then has its shape and dtype, but only the functions here can read it.
inline bool is_packed(const at::Tensor& weight) {
  return weight.is_mkldnn();
}

/// The weight as a plain tensor: a copy if it is packed, else the weight itself.
at::Tensor unpacked(const at::Tensor& weight);

/// @param input   [..., in], at least two dimensions and one element
/// @param weight  packed, or plain on a CPU: [out, in]
/// @param bias    [out]; undefined for none
/// @return [..., out]
at::Tensor onednn_linear(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias);

/// @param input   [B, in, H, W]
/// @param weight  packed: [out, in, k, k]
/// @param bias    [out]; undefined for none
/// @return [B, out, H', W'] in channels_last
at::Tensor packed_convolution(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias,
                              std::int64_t stride, std::int64_t padding);

}  // namespace easel
