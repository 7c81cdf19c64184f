// InstructPix2Pix (Brooks et al. 2022, arXiv:2211.09800): an image is changed as a sentence says.
#pragma once

#include <vector>

#include "pipelines/families/family.h"

namespace easel {

/// diffusers' StableDiffusionInstructPix2PixPipeline: the image's latents are further channels of the UNet's input,
/// and guide beside the prompt.
const std::vector<Family>& instruct_pix2pix_families();

}  // namespace easel
