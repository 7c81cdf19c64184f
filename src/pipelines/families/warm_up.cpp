#include "pipelines/families/warm_up.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "core/log.h"
#include "core/text.h"
#include "easel/error.h"
#include "tensor/free_memory.h"

namespace easel {
namespace {

constexpr std::int64_t kSteps = 2;

std::shared_ptr<Image> gray(int width, int height) {
  constexpr std::uint8_t kGray = 128;
  const auto bytes = static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * Image::kChannels;
  return std::make_shared<Image>(
      Image{.width = width, .height = height, .pixels = std::vector<std::uint8_t>(bytes, kGray)});
}

/// A request that the model takes, with its default settings.
GenerationRequest request_for(const ModelDescription& model) {
  GenerationRequest request;
  request.model = model.id;
  request.num_inference_steps = kSteps;
  if (model.needs_image || model.needs_mask) {
    request.image = gray(model.native_width, model.native_height);
    // Of an image's steps only the last are done, such as 30 % of those of SDXL's refiner.
    request.num_inference_steps = static_cast<std::int64_t>(std::ceil(kSteps / model.default_strength));
  }
  if (model.needs_mask) request.mask = gray(model.native_width, model.native_height);
  return request;
}

void run(Pipeline& pipeline) {
  const auto begun = pipeline.begin(request_for(pipeline.description()), {});
  begun->wait();
  const auto generations = begun->take();
  auto* const image = generations.front().get();
  while (!image->finished_stepping()) pipeline.step({&image, 1}, {})->wait();
  pipeline.finish({&image, 1}, {})->wait();
}

}  // namespace

bool can_warm_up(const ModelDescription& model, const Placement& placement) {
  if (placement.offloader || placement.release_text_encoders || model.activations.empty()) return false;
  constexpr int kMostRows = 3;  // of one image
  std::int64_t bytes = model.activations.front().decode_bytes;
  for (const auto& [rows, step] : model.activations.front().step_bytes) {
    if (rows <= kMostRows) bytes = std::max(bytes, step);
  }
  return bytes > 0 && bytes <= free_memory(placement.device) / 2;
}

void warm_up(Pipeline& pipeline) {
  try {
    run(pipeline);
  } catch (const Error& e) {
    if (e.code() != ErrorCode::kResourceExhausted) throw;
    log::warning(
        concat(pipeline.description().id, ": an image of its native size does not fit into memory: ", e.what()));
  }
}

}  // namespace easel
