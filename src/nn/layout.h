// Converting between feature maps and rows of tokens. With channels_last memory, each is a view of the other.
#pragma once

#include <ATen/core/Tensor.h>

namespace easel {

inline at::Tensor to_tokens(const at::Tensor& map) {  // [B, C, H, W] -> [B, HW, C]
  return map.permute({0, 2, 3, 1}).reshape({map.size(0), map.size(2) * map.size(3), map.size(1)});
}

inline at::Tensor to_map(const at::Tensor& tokens, std::int64_t height,
                         std::int64_t width) {  // [B, HW, C] -> [B, C, H, W]
  return tokens.reshape({tokens.size(0), height, width, tokens.size(2)}).permute({0, 3, 1, 2});
}

}  // namespace easel
