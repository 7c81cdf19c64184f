// The requests that make an image with a second pass by way of another model. Plain arithmetic.
#pragma once

#include "easel/generation.h"

namespace easel::http {

/// The request that enlarges the image of a first pass, without a prompt.
/// @param hires   names the model that upscales
/// @param factor  ModelDescription::upscale_factor of that model
GenerationRequest enlarging_request(const HiresPass& hires, int factor, GeneratedImage first);

/// The request that makes the final image from the enlarged one, which is resized to its size; where the shape differs,
/// it is cut.
/// @param request  the whole request, with HiresPass
GenerationRequest second_pass_request(const GenerationRequest& request, const GeneratedImage& larger);

}  // namespace easel::http
