#include "pipelines/prompts/conditioner.h"

#include <ATen/ops/cat.h>

namespace easel {

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
  return {.prompt_embeds = stacked(&DenoiserConditioning::prompt_embeds),
          .text_embeds = stacked(&DenoiserConditioning::text_embeds),
          .time_ids = stacked(&DenoiserConditioning::time_ids),
          .class_labels = stacked(&DenoiserConditioning::class_labels),
          .timestep_cond = stacked(&DenoiserConditioning::timestep_cond)};
}

}  // namespace easel
