// The sizes that a model was trained on, for models that are only used at these.
#pragma once

#include <cstdint>

#include "pipelines/images/canvas.h"

namespace easel {

/// The size of PixArt's list whose ratio of height to width is closest to that of the output; the first of two that are
/// equally close. Numbers are those of diffusers 0.42.1, pipeline_pixart_sigma.py.
/// @param sample_size    of the denoising model's config: latent cells along an edge of the native image, 32 to 256
/// @param width, height  of the output in pixels, positive
/// @throws Error(kUnsupported)  there is no list for this sample_size
Canvas plan_binned_canvas(std::int64_t sample_size, int width, int height);

}  // namespace easel
