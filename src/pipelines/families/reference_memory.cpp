#include "pipelines/families/reference_memory.h"

#include <utility>
#include <vector>

#include "core/component.h"
#include "core/text.h"
#include "pipelines/denoising/request_fields.h"
#include "pipelines/starts/from_references.h"

namespace easel {

ReferenceMemory::ReferenceMemory(ModelDescription model, std::int64_t available, std::int64_t held,
                                 ReferenceStepBytes step)
    : model_(std::move(model)), available_(available), held_(held), step_(std::move(step)) {}

void ReferenceMemory::check(const GenerationRequest& request, int rows) const {
  if (!request.image) return;
  const auto tokens = [&](const std::pair<int, int>& size) {
    return LatentSize{.rows = rows, .height = size.second / model_.cell, .width = size.first / model_.cell};
  };
  const auto sample = tokens(result_size(request, model_));
  std::vector<LatentSize> references;
  if (request.mask) references.push_back(sample);
  for (const auto& size : reference_sizes(request, model_.cell)) references.push_back(tokens(size));
  const auto sent = references.size();
  while (!references.empty() && held_ + step_(sample, references) > available_) references.pop_back();
  if (references.size() == sent) return;
  reject_field("image", references.empty() ? concat("does not fit: the device of the model ", model_.id,
                                                    " has no memory for a reference and an ", "image of ",
                                                    sample.width * model_.cell, "x", sample.height * model_.cell,
                                                    " pixels; ask for a smaller `size`, or send a smaller image")
                                           : concat("was sent ", sent, " times; the device of the model ", model_.id,
                                                    " has memory for ", references.size(), " of these images"));
}

std::int64_t weights_during_step(const ModelDescription& model, const Placement& placement) {
  std::int64_t bytes = 0;
  for (const auto& component : model.components) {
    const bool is_text = component.name.starts_with(component_name(Component::kTextEncoder));
    const bool is_vae = component.name == component_name(Component::kVae);
    const bool leaves = (is_text && placement.release_text_encoders) || ((is_text || is_vae) && placement.offloader);
    if (leaves) continue;
    for (const auto& [dtype, count] : component.memory_bytes) bytes += count;
  }
  return bytes;
}

}  // namespace easel
