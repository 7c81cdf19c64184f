// A request's images as tensors.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "easel/image.h"
#include "pipelines/images/canvas.h"

namespace easel {

inline constexpr std::int64_t kImageChannels = Image::kChannels;

/// @throws Error(kInvalidArgument)  the pixels are not width * height * 3 bytes, or there are none; names `param`
void validate_image(const Image& image, const char* param);

/// Resampled to the size that is drawn, as the reference does it (Lanczos). Its proportions follow the canvas.
Image resize_to_generated(const Image& image, const Canvas& canvas);

/// 8-bit pixels as float32 [1, 3, H, W] within -1 to 1.
at::Tensor to_tensor(const Image& image);

/// float32 [1, 1, H, W] of 0 and 1: 1 from half brightness on. Brightness is ITU-R 601's, in Pillow's integers.
at::Tensor to_mask(const Image& image);

}  // namespace easel
