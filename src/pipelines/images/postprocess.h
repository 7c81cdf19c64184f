// Decoded tensors to 8-bit images.
#pragma once

#include <ATen/core/Tensor.h>

#include "easel/image.h"

namespace easel {

/// @param decoded  [1, 3, H, W], about -1 to 1, any float dtype and device
/// @return         uint8 [1, H, W, 3] on the CPU; from a GPU the copy is only enqueued, to pinned memory.
///                 Rounds half to even, as numpy does in the reference.
at::Tensor to_pixels(const at::Tensor& decoded);

/// @param pixels  of to_pixels, arrived
Image to_image(const at::Tensor& pixels);

}  // namespace easel
