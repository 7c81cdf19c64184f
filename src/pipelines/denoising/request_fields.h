// The request fields that only some families use.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "easel/generation.h"

namespace easel {

/// All families use the fields of GenerationRequest that are not listed here.
enum class RequestField { kMask, kStrength, kGuidanceRescale, kImageGuidanceScale, kTrueCfgScale, kNoiseLevel };

/// @throws Error(kInvalidArgument)  the request sets one of these fields and it is not in `used`; names the field
void reject_unused_fields(const GenerationRequest& request, std::span<const RequestField> used);

/// The names of the fields above that are not in `used`, the mask excepted: a request with a mask that the model cannot
/// use is always refused.
std::vector<std::string> names_of_unused_fields(std::span<const RequestField> used);

/// For families whose text encoders read prompts as they are.
/// @throws Error(kInvalidArgument)  the request has a field that only CLIP's text encoders can use; names it
void reject_clip_fields(const GenerationRequest& request);

/// @throws Error(kInvalidArgument)  always; names the field
[[noreturn]] void reject_field(const char* param, const std::string& why);

}  // namespace easel
