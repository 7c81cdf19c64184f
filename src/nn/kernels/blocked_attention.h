// Attention on a CPU by easel's own kernels.
//
// libtorch's attention reaches a quarter (bfloat16) to a half (float32) of what a Zen 4 processor can do at the sizes
// of SD 1.5's self-attention, which is a third of a step. These kernels reach two thirds and more.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace easel {

/// Whether blocked_attention computes heads of this width in this dtype on this machine; see instructions_for().
bool has_blocked_attention(c10::ScalarType dtype, std::int64_t head_width);

/// Whether a bias, if there is one, is the same for all heads and queries of an image, as blocked_attention needs it.
inline bool is_bias_per_key(const at::Tensor& bias) {
  return !bias.defined() || (bias.dim() == 4 && bias.size(1) == 1 && bias.size(2) == 1);
}

/// softmax(query key^T / sqrt(width)) value for each head. Thread-safe. An image's result does not depend on the other
/// images of the batch. float32 differs from exact arithmetic by some 1e-6 of the values, bfloat16 by its rounding.
/// @param query  [B, L, heads * width] on the CPU, of a dtype and width for which has_blocked_attention is true
/// @param key    [B, S, heads * width]; S at least 1
/// @param value  [B, S, heads * width]
/// @param bias   [B, 1, 1, S], where B may be 1: added to the scores; or of bool: which keys count. Undefined for none.
///               Keys that do not count and come last leave every bit of the result as it is without them.
/// @return [B, L, heads * width], contiguous
at::Tensor blocked_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                             std::int64_t heads, const at::Tensor& bias = {});

/// Bytes that a call allocates besides its result: rearranged copies of key and value.
std::int64_t blocked_attention_bytes(c10::ScalarType dtype, std::int64_t images, std::int64_t heads, std::int64_t keys,
                                     std::int64_t head_width);

}  // namespace easel
