#include "pipelines/denoising/start_strategy.h"

#include "core/text.h"
#include "easel/error.h"

namespace easel {

void reject_field(const char* param, const std::string& why) {
  throw Error(ErrorCode::kInvalidArgument, concat("`", param, "` ", why), param);
}

void reject_image_to_image_fields(const GenerationRequest& request) {
  if (request.mask) reject_field("mask", "has no use in this model");
  if (request.strength) reject_field("strength", "has no use in this model");
  if (request.guidance_rescale != 0) reject_field("guidance_rescale", "has no use in this model");
}

}  // namespace easel
