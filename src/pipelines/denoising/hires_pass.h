// The second pass of an image over a larger version of itself.
#pragma once

#include <ATen/core/Tensor.h>

#include "easel/generation.h"
#include "easel/hires.h"
#include "easel/image.h"
#include "pipelines/images/canvas.h"

namespace easel {

/// What the second pass of a request's images needs to know before the first has ended. Immutable.
struct HiresPlan {
  /// Image to image at the larger size. Its image stands for the one that does not exist yet: it has one pixel.
  GenerationRequest request;
  HiresUpscaler upscaler = HiresUpscaler::kLatent;
  Canvas canvas = {};  ///< of the second pass
  int enlarged_width =
      0;  ///< pixels; where the proportions differ from the first pass's, the image is cut to the canvas
  int enlarged_height = 0;
};

/// @param request  with GenerationRequest::hires
/// @param first   canvas of the first pass
/// @param second  canvas of the second pass, whose output size is that of the request's HiresPass
HiresPlan plan_hires(const GenerationRequest& request, const Canvas& first, const Canvas& second);

/// The request of the second pass: see HiresPlan::request.
/// @param request  with GenerationRequest::hires
GenerationRequest second_pass_request(const GenerationRequest& request);

/// The final image of the first pass, enlarged to the size of the second.
Image enlarge_image(const Image& image, const HiresPlan& plan);

/// The final latents of the first pass, enlarged to the size of the second.
/// @param latents  [1, C, h, w] @return [1, C, height, width]
at::Tensor enlarge_latents(const at::Tensor& latents, std::int64_t height, std::int64_t width, const HiresPlan& plan);

}  // namespace easel
