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

/// Each token holds a patch of patch x patch cells, with the channels of a cell adjacent.
inline at::Tensor patches_to_map(const at::Tensor& patches, std::int64_t rows, std::int64_t columns,
                                 std::int64_t patch) {  // [B, rows * columns, patch * patch * C] -> [B, C, H, W]
  const auto batch = patches.size(0), channels = patches.size(2) / (patch * patch);
  return patches.reshape({batch, rows, columns, patch, patch, channels})
      .permute({0, 5, 1, 3, 2, 4})
      .reshape({batch, channels, rows * patch, columns * patch});
}

}  // namespace easel
