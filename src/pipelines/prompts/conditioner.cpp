#include "pipelines/prompts/conditioner.h"

#include <ATen/ops/cat.h>

#include <algorithm>
#include <utility>

namespace easel {
namespace {

at::Tensor stack_prompts(const std::vector<const DenoiserConditioning*>& images) {
  std::int64_t longest = 0;
  for (const auto* image : images) longest = std::max(longest, image->prompt_embeds.size(1));
  std::vector<at::Tensor> parts;
  for (const auto* image : images) parts.push_back(filled_up(image->prompt_embeds, longest));
  return stack_rows(parts);
}

std::vector<at::Tensor> stack_references(const std::vector<const DenoiserConditioning*>& images) {
  std::vector<at::Tensor> stacked;
  for (std::size_t i = 0; !images.empty() && i < images[0]->references.size(); ++i) {
    std::vector<at::Tensor> parts;
    for (const auto* image : images) parts.push_back(image->references.at(i));
    stacked.push_back(stack_rows(parts));
  }
  return stacked;
}

}  // namespace

at::Tensor stack_rows(const std::vector<at::Tensor>& parts) {
  if (parts.empty()) return {};
  return parts.size() == 1 ? parts[0] : at::cat(parts);
}

DenoiserConditioning stack_rows(const std::vector<const DenoiserConditioning*>& images) {
  const auto stacked = [&](at::Tensor DenoiserConditioning::* field) {
    std::vector<at::Tensor> parts;
    for (const auto* image : images) {
      if ((image->*field).defined()) parts.push_back(image->*field);
    }
    return stack_rows(parts);
  };
  std::vector<std::int64_t> lengths;
  for (const auto* image : images)
    lengths.insert(lengths.end(), image->prompt_lengths.begin(), image->prompt_lengths.end());
  std::vector<ImageRows> rows;
  for (const auto* image : images) rows.insert(rows.end(), image->images.begin(), image->images.end());
  return {.prompt_embeds = stack_prompts(images),
          .prompt_lengths = std::move(lengths),
          .text_embeds = stacked(&DenoiserConditioning::text_embeds),
          .time_ids = stacked(&DenoiserConditioning::time_ids),
          .class_labels = stacked(&DenoiserConditioning::class_labels),
          .timestep_cond = stacked(&DenoiserConditioning::timestep_cond),
          .references = stack_references(images),
          .images = std::move(rows)};
}

std::int64_t text_row(std::int64_t rows) {
  return rows == 2 ? 1 : 0;
}

DenoiserConditioning text_row_of(const DenoiserConditioning& image) {
  const auto row = text_row(image.prompt_embeds.size(0));
  const auto own = [&](const at::Tensor& rows) { return rows.defined() ? rows.narrow(0, row, 1) : rows; };
  DenoiserConditioning one{.prompt_embeds = own(image.prompt_embeds),
                           .text_embeds = own(image.text_embeds),
                           .time_ids = own(image.time_ids),
                           .class_labels = own(image.class_labels),
                           .timestep_cond = own(image.timestep_cond),
                           .prompt_cut = image.prompt_cut,
                           .prompt_tokens = image.prompt_tokens};
  if (!image.prompt_lengths.empty()) one.prompt_lengths = {image.prompt_lengths.at(static_cast<std::size_t>(row))};
  for (const auto& reference : image.references) one.references.push_back(own(reference));
  if (image.text_projections) {
    one.images = {{.projections = image.text_projections, .rows = 1, .tokens = one.prompt_embeds.size(1)}};
  }
  return one;
}

void keep_projections(DenoiserConditioning& conditioning) {
  conditioning.images = {{.projections = std::make_shared<PromptProjections>(),
                          .rows = conditioning.prompt_embeds.size(0),
                          .tokens = conditioning.prompt_embeds.size(1)}};
  conditioning.text_projections = std::make_shared<PromptProjections>();
}

}  // namespace easel
