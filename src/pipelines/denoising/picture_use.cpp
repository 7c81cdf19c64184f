#include "pipelines/denoising/picture_use.h"

#include "core/text.h"
#include "easel/error.h"

namespace easel {

void refuse_field(const char* param, const std::string& why) {
  throw Error(ErrorCode::kInvalidArgument, concat("`", param, "` ", why), param);
}

void refuse_fields_of_starting_pictures(const GenerationRequest& request) {
  if (request.mask) refuse_field("mask", "has no use in this model");
  if (request.strength) refuse_field("strength", "has no use in this model");
  if (request.guidance_rescale != 0) refuse_field("guidance_rescale", "has no use in this model");
}

}  // namespace easel
