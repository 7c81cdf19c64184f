#include "pipelines/denoising/request_fields.h"

#include <algorithm>

#include "core/text.h"
#include "easel/error.h"

namespace easel {
namespace {

struct FieldRow {
  RequestField field;
  const char* name;
  bool (*is_set)(const GenerationRequest&);
};

constexpr FieldRow kFields[] = {
    {RequestField::kMask, "mask", [](const GenerationRequest& r) { return r.mask != nullptr; }},
    {RequestField::kStrength, "strength", [](const GenerationRequest& r) { return r.strength.has_value(); }},
    {RequestField::kGuidanceRescale, "guidance_rescale",
     [](const GenerationRequest& r) { return r.guidance_rescale != 0; }},
    {RequestField::kImageGuidanceScale, "image_guidance_scale",
     [](const GenerationRequest& r) { return r.image_guidance_scale.has_value(); }},
    {RequestField::kTrueCfgScale, "true_cfg_scale",
     [](const GenerationRequest& r) { return r.true_cfg_scale.has_value(); }},
    {RequestField::kNoiseLevel, "noise_level", [](const GenerationRequest& r) { return r.noise_level.has_value(); }},
};

}  // namespace

void reject_unused_fields(const GenerationRequest& request, std::span<const RequestField> used) {
  for (const auto& [field, name, is_set] : kFields) {
    const bool is_used = std::find(used.begin(), used.end(), field) != used.end();
    if (!is_used && is_set(request)) reject_field(name, "has no use in this model");
  }
}

std::vector<std::string> names_of_unused_fields(std::span<const RequestField> used) {
  std::vector<std::string> names;
  for (const auto& row : kFields) {
    const bool is_used = std::find(used.begin(), used.end(), row.field) != used.end();
    if (!is_used && row.field != RequestField::kMask) names.emplace_back(row.name);
  }
  return names;
}

void reject_clip_fields(const GenerationRequest& request) {
  if (request.clip_skip.value_or(0) != 0) reject_field("clip_skip", "has no use in this model");
  if (request.prompt_syntax == PromptSyntax::kA1111) {
    reject_field("prompt_syntax", "has no use in this model, whose text encoder reads prompts as they are");
  }
}

void reject_field(const char* param, const std::string& why) {
  throw Error(ErrorCode::kInvalidArgument, concat("`", param, "` ", why), param);
}

}  // namespace easel
