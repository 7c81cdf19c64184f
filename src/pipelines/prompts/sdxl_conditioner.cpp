#include "pipelines/prompts/sdxl_conditioner.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/tensor.h>

#include <utility>

#include "pipelines/prompts/prompt_rows.h"
#include "tensor/upload.h"

namespace easel {
namespace {

using Pixels = MicroConditioning::Pixels;

/// Sizes for the unconditional row. The reference's pipelines differ: starting from noise, the negative sizes are used
/// only if both are given; starting from an image, each is used by itself, and the negative crop corner is ignored.
struct NegativeSizes {
  Pixels original_size, crops_coords_top_left, target_size;
};

NegativeSizes negative_sizes(const MicroConditioning& given, Pixels original_size, Pixels target_size,
                             StartKind start) {
  if (start == StartKind::kImage) {
    return {given.negative_original_size.value_or(original_size), given.crops_coords_top_left,
            given.negative_target_size.value_or(target_size)};
  }
  if (given.negative_original_size && given.negative_target_size) {
    return {*given.negative_original_size, given.negative_crops_coords_top_left, *given.negative_target_size};
  }
  return {original_size, given.crops_coords_top_left, target_size};
}

std::vector<double> size_ids(Pixels original_size, Pixels crops_coords_top_left, Pixels target_size) {
  return {double(original_size.first),          double(original_size.second), double(crops_coords_top_left.first),
          double(crops_coords_top_left.second), double(target_size.first),    double(target_size.second)};
}

std::vector<double> score_ids(Pixels original_size, Pixels crops_coords_top_left, double aesthetic_score) {
  return {double(original_size.first), double(original_size.second), double(crops_coords_top_left.first),
          double(crops_coords_top_left.second), aesthetic_score};
}

}  // namespace

SdxlSettings read_sdxl_settings(const Checkpoint& folder) {
  Config settings(folder.settings, folder.index);
  const SdxlSettings defaults;
  return {.force_zeros_for_empty_prompt =
              settings.get("force_zeros_for_empty_prompt", defaults.force_zeros_for_empty_prompt),
          .time_ids = settings.get("requires_aesthetics_score", false) ? TimeIds::kAestheticScores : defaults.time_ids,
          .start = folder.class_name == kSdxlRefinerClass ? StartKind::kImage : defaults.start};
}

SdxlConditioner::SdxlConditioner(std::vector<std::shared_ptr<PromptEncoder>> encoders, const SdxlSettings& settings,
                                 const Placement& placement)
    : encoders_(std::move(encoders)), settings_(settings), placement_(placement) {}

DenoiserConditioning SdxlConditioner::encode(const GenerationRequest& request, const Canvas& canvas, Guidance guidance,
                                             const RunContext& context) {
  const auto empty = settings_.force_zeros_for_empty_prompt ? EmptyNegative::kZeros : EmptyNegative::kEncoded;
  const auto rows = encode_prompts(encoders_, request, guidance, empty, context);
  const auto start = request.image ? StartKind::kImage : settings_.start;
  return {.prompt_embeds = concat_rows(rows.negative.embeds, rows.text.embeds),
          .text_embeds = concat_rows(rows.negative.text_embeds, rows.text.text_embeds),
          .time_ids = time_ids(request.micro_conditioning, canvas, guidance, start),
          .prompt_cut = rows.cut(),
          .prompt_tokens = rows.text.tokens};
}

at::Tensor SdxlConditioner::time_ids(const MicroConditioning& given, const Canvas& canvas, Guidance guidance,
                                     StartKind start) const {
  const Pixels drawn{canvas.generated_height, canvas.generated_width};
  const auto original_size = given.original_size.value_or(drawn), target_size = given.target_size.value_or(drawn);
  std::vector<double> ids, negative_ids;
  if (settings_.time_ids == TimeIds::kAestheticScores) {
    ids = score_ids(original_size, given.crops_coords_top_left, given.aesthetic_score);
    negative_ids = score_ids(given.negative_original_size.value_or(original_size), given.negative_crops_coords_top_left,
                             given.negative_aesthetic_score);
  } else {
    const auto negative = negative_sizes(given, original_size, target_size, start);
    ids = size_ids(original_size, given.crops_coords_top_left, target_size);
    negative_ids = size_ids(negative.original_size, negative.crops_coords_top_left, negative.target_size);
  }
  auto rows = at::tensor(ids, at::kDouble).unsqueeze(0);  // [1, n]
  if (guidance == Guidance::kOn) {
    rows = at::cat(at::TensorList({at::tensor(negative_ids, at::kDouble).unsqueeze(0), rows}));
  }
  return upload(rows, placement_.device, placement_.dtype);
}

}  // namespace easel
