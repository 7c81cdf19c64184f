#include "pipelines/sdxl_conditioner.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros_like.h>

#include <utility>

namespace easel {
namespace {

using Pixels = MicroConditions::Pixels;

bool setting(const CheckpointFolder& folder, const char* name, bool fallback) {
  const auto found = folder.settings.find(name);
  return found == folder.settings.end() ? fallback : found->second;
}

/// Sizes of the row without the prompt. The reference's base model wants both given; its refiner takes each by itself.
struct NegativeSizes {
  Pixels original_size, crops_coords_top_left, target_size;
};

NegativeSizes negative_sizes(const MicroConditions& given, Pixels original_size, Pixels target_size) {
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

SdxlSettings read_sdxl_settings(const CheckpointFolder& folder) {
  const SdxlSettings defaults;
  return {
      .force_zeros_for_empty_prompt =
          setting(folder, "force_zeros_for_empty_prompt", defaults.force_zeros_for_empty_prompt),
      .time_ids = setting(folder, "requires_aesthetics_score", false) ? TimeIds::kAestheticScores : defaults.time_ids};
}

SdxlConditioner::SdxlConditioner(std::vector<std::shared_ptr<PromptEncoder>> encoders, const SdxlSettings& settings,
                                 const Placement& placement)
    : encoders_(std::move(encoders)), settings_(settings), placement_(placement) {}

Conditions SdxlConditioner::encode(const GenerationRequest& request, const Canvas& canvas, Guidance guidance,
                                   const RunContext& context) {
  auto text = encode_text(request.prompt, request.clip_skip.value_or(0), context);
  if (guidance == Guidance::kOn) {
    const bool zeros = request.negative_prompt.empty() && settings_.force_zeros_for_empty_prompt;
    // The reference skips no layers for the negative prompt.
    const auto negative = zeros ? EncodedPrompt{at::zeros_like(text.embeds), at::zeros_like(text.text_embeds)}
                                : encode_text(request.negative_prompt, /*clip_skip=*/0, context);
    text = {.embeds = at::cat(at::TensorList({negative.embeds, text.embeds})),
            .text_embeds = at::cat(at::TensorList({negative.text_embeds, text.text_embeds}))};
  }
  return {.prompt_embeds = std::move(text.embeds),
          .text_embeds = std::move(text.text_embeds),
          .time_ids = time_ids(request.micro_conditions, canvas, guidance)};
}

EncodedPrompt SdxlConditioner::encode_text(const std::string& text, std::int64_t clip_skip,
                                           const RunContext& context) const {
  std::vector<at::Tensor> embeds;
  EncodedPrompt last;
  for (const auto& encoder : encoders_) {
    last = encoder->encode(text, clip_skip, context);
    embeds.push_back(last.embeds);
  }
  return {.embeds = at::cat(embeds, /*dim=*/-1), .text_embeds = last.text_embeds};  // [1, T, D1 + D2], [1, P]
}

at::Tensor SdxlConditioner::time_ids(const MicroConditions& given, const Canvas& canvas, Guidance guidance) const {
  const Pixels drawn{canvas.drawn_height, canvas.drawn_width};
  const auto original_size = given.original_size.value_or(drawn), target_size = given.target_size.value_or(drawn);
  std::vector<double> ids, negative_ids;
  if (settings_.time_ids == TimeIds::kAestheticScores) {
    ids = score_ids(original_size, given.crops_coords_top_left, given.aesthetic_score);
    negative_ids = score_ids(given.negative_original_size.value_or(original_size), given.negative_crops_coords_top_left,
                             given.negative_aesthetic_score);
  } else {
    const auto negative = negative_sizes(given, original_size, target_size);
    ids = size_ids(original_size, given.crops_coords_top_left, target_size);
    negative_ids = size_ids(negative.original_size, negative.crops_coords_top_left, negative.target_size);
  }
  auto rows = at::tensor(ids, at::kDouble).unsqueeze(0);  // [1, n]
  if (guidance == Guidance::kOn) {
    rows = at::cat(at::TensorList({at::tensor(negative_ids, at::kDouble).unsqueeze(0), rows}));
  }
  return rows.to(placement_.device, placement_.dtype);
}

}  // namespace easel
