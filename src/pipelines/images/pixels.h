// Between images of 8-bit pixels and tensors.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "easel/image.h"
#include "pipelines/images/canvas.h"

namespace easel {

inline constexpr std::int64_t kImageChannels = Image::kChannels;

/// @throws Error(kInvalidArgument)  the image is empty or does not have width * height * 3 bytes; names `param`
void validate_image(const Image& image, const char* param);

/// Resamples to the generated size with the reference's filter (Lanczos). The proportions become the canvas's.
Image resize_to_generated(const Image& image, const Canvas& canvas);

/// 8-bit pixels as float32 [1, 3, H, W], -1 to 1.
at::Tensor to_tensor(const Image& image);

/// float32 [1, 1, H, W] of 0 and 1: 1 where the brightness is at least half. Brightness is ITU-R 601 luma in Pillow's
/// integer arithmetic.
at::Tensor to_mask(const Image& image);

/// Scales a decoded image until it covers the output of a canvas with `covered`, and crops its centre (diffusers'
/// resize_and_crop_tensor). @param decoded  [1, 3, H, W] @return  [1, 3, canvas.height, canvas.width]
at::Tensor cover_output(const at::Tensor& decoded, const Canvas& canvas);

/// Decoded tensors as 8-bit pixels. Rounds half to even, as numpy does in the reference.
/// @param decoded  [1, 3, H, W], about -1 to 1, any float dtype and device
/// @return         uint8 [1, H, W, 3] on the CPU; from a GPU the copy, into pinned memory, is only enqueued
at::Tensor to_pixels(const at::Tensor& decoded);

/// @param pixels  from to_pixels, after the copy has finished
Image to_image(const at::Tensor& pixels);

}  // namespace easel
