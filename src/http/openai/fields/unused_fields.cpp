#include "http/openai/fields/unused_fields.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "core/text.h"

namespace easel::http {
namespace {

struct UnusedFieldRow {
  const char* name;
  bool (*is_set)(const GenerationRequest& request);
  void (*reset)(GenerationRequest& request);
};

template <auto member>
constexpr UnusedFieldRow field_row(const char* name) {
  return {name, [](const GenerationRequest& request) { return request.*member != GenerationRequest().*member; },
          [](GenerationRequest& request) { request.*member = GenerationRequest().*member; }};
}

template <auto member>
constexpr UnusedFieldRow condition_row(const char* name) {
  return {name,
          [](const GenerationRequest& request) {
            return request.micro_conditioning.*member != MicroConditioning().*member;
          },
          [](GenerationRequest& request) { request.micro_conditioning.*member = MicroConditioning().*member; }};
}

constexpr UnusedFieldRow kUnusedFieldRows[] = {
    // First: the negative prompt depends on them.
    field_row<&GenerationRequest::guidance_scale>("guidance_scale"),
    field_row<&GenerationRequest::true_cfg_scale>("true_cfg_scale"),
    field_row<&GenerationRequest::negative_prompt>("negative_prompt"),
    field_row<&GenerationRequest::guidance_interval>("guidance_interval"),
    field_row<&GenerationRequest::guidance_rescale>("guidance_rescale"),
    field_row<&GenerationRequest::eta>("eta"),
    {"clip_skip", [](const GenerationRequest& request) { return request.clip_skip.value_or(0) != 0; },
     [](GenerationRequest& request) { request.clip_skip.reset(); }},
    field_row<&GenerationRequest::denoising_end>("denoising_end"),
    field_row<&GenerationRequest::strength>("strength"),
    field_row<&GenerationRequest::image_guidance_scale>("image_guidance_scale"),
    field_row<&GenerationRequest::noise_level>("noise_level"),
    condition_row<&MicroConditioning::original_size>("original_size"),
    condition_row<&MicroConditioning::crops_coords_top_left>("crops_coords_top_left"),
    condition_row<&MicroConditioning::target_size>("target_size"),
    condition_row<&MicroConditioning::negative_original_size>("negative_original_size"),
    condition_row<&MicroConditioning::negative_crops_coords_top_left>("negative_crops_coords_top_left"),
    condition_row<&MicroConditioning::negative_target_size>("negative_target_size"),
    condition_row<&MicroConditioning::aesthetic_score>("aesthetic_score"),
    condition_row<&MicroConditioning::negative_aesthetic_score>("negative_aesthetic_score"),
};

bool lists(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string reason_against_negative_prompt(const GenerationRequest& request, const ModelDescription& model) {
  if (model.separate_guidance) {
    return request.true_cfg_scale.value_or(1) > 1 ? "" : "has no use with a `true_cfg_scale` of 1 or less";
  }
  const auto scale = request.guidance_scale.value_or(model.default_guidance_scale);
  if (scale > model.guides_above) return "";
  return concat("has no use without guidance, that is, with a `guidance_scale` of ", model.guides_above, " or less");
}

// Why the field has no use; empty where it has one.
std::string reason_against(std::string_view field, const GenerationRequest& request, const ModelDescription& model) {
  if (lists(model.unused_fields, field) || (field == "clip_skip" && model.max_clip_skip == 0)) {
    return concat("has no use in the model ", quote(model.id));
  }
  if (field == "true_cfg_scale" && request.negative_prompt.empty()) return "has no use without a `negative_prompt`";
  if (field == "negative_prompt") return reason_against_negative_prompt(request, model);
  if (field == "guidance_interval" && !is_guided(request, model)) return "has no use without guidance";
  const auto& scheduler = request.scheduler.value_or(model.default_scheduler);
  if (field == "eta" && !lists(model.eta_schedulers, scheduler)) {
    return concat("has no use in the scheduler ", quote(scheduler));
  }
  return "";
}

}  // namespace

std::vector<UnusedField> drop_unused_fields(GenerationRequest& request, const ModelDescription& model) {
  std::vector<UnusedField> unused;
  for (const auto& row : kUnusedFieldRows) {
    if (!row.is_set(request)) continue;
    auto why = reason_against(row.name, request, model);
    if (why.empty()) continue;
    row.reset(request);
    unused.push_back({row.name, std::move(why)});
  }
  return unused;
}

}  // namespace easel::http
