#include "pipelines/memory_needs.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/text.h"
#include "models/activation_memory.h"
#include "pipelines/canvas.h"
#include "pipelines/components.h"
#include "pipelines/stable_diffusion_xl.h"
#include "pipelines/tiled_autoencoder.h"
#include "weights/weights.h"

namespace easel {
namespace {

/// The models that run with large tensors. A text encoder's are small beside theirs.
struct Runners {
  std::vector<UNet2DConditionConfig> unets;
  AutoencoderKLConfig vae;
  Placement vae_placement;
};

std::int64_t sum(const std::map<std::string, std::int64_t>& bytes) {
  std::int64_t total = 0;
  for (const auto& [dtype, count] : bytes) total += count;
  return total;
}

/// As the headers of its weight files have it.
ComponentMemory component_memory(std::string name, const TensorStore& store, const Placement& placement) {
  // Half storage on a CPU concerns the large weights: those that layers keep, not biases and norms.
  const bool keeps_stored = placement.storage == WeightStorage::kStored && placement.device.is_cpu();
  ComponentMemory component{.name = std::move(name), .parameters = 0, .stored_bytes = {}, .memory_bytes = {}};
  for (const auto& tensor : store.names()) {
    const TensorInfo& info = *store.find(tensor);
    if (!c10::isFloatingType(info.dtype)) continue;  // position_ids and the like
    std::int64_t count = 1;
    for (const auto extent : info.shape) count *= extent;
    component.parameters += count;
    component.stored_bytes[dtype_name(info.dtype)] += count * static_cast<std::int64_t>(c10::elementSize(info.dtype));
    const bool smaller = c10::elementSize(info.dtype) < c10::elementSize(placement.dtype);
    const auto kept = keeps_stored && smaller && info.shape.size() > 1 ? info.dtype : placement.dtype;
    component.memory_bytes[dtype_name(kept)] += count * static_cast<std::int64_t>(c10::elementSize(kept));
  }
  return component;
}

UNet2DConditionConfig unet_config(const CheckpointFolder& folder) {
  auto config = folder.source->config("unet");
  return UNet2DConditionConfig::from(config);
}

/// Of one picture with guidance at the native size. Components that take turns are on the device one at a time, a UNet
/// with its step or the autoencoder with its decode; a text encoder's own activations are small.
std::int64_t device_bytes(const ModelDescription& d, const Placement& placement) {
  const auto step = d.activations[0].step_bytes.at(2), decode = d.activations[0].decode_bytes;
  std::int64_t together = std::max(step, decode), alone = 0;
  for (const auto& component : d.components) {
    const auto weights = sum(component.memory_bytes);
    together += weights;
    const bool unet = component.name.ends_with("unet"), vae = component.name == "vae";
    alone = std::max(alone, weights + (unet ? step : vae ? decode : 0));
  }
  return placement.slot ? alone : together;
}

ActivationMemory activation_memory(const Runners& runners, const Canvas& canvas, int cell,
                                   const PipelineOptions& options) {
  ActivationMemory memory{
      .width = canvas.drawn_width, .height = canvas.drawn_height, .step_bytes = {}, .decode_bytes = 0};
  LatentSize size{.rows = 1, .height = canvas.drawn_height / cell, .width = canvas.drawn_width / cell};
  const auto tile =
      options.vae_tiling == VaeTiling::kOn ? reference_tile(runners.vae) / cell : size.height + size.width;
  const LatentSize piece{.rows = 1, .height = std::min(size.height, tile), .width = std::min(size.width, tile)};
  memory.decode_bytes = decode_bytes(runners.vae, piece, runners.vae_placement);
  for (const int rows : {1, 2, 2 * options.generations_per_step()}) {
    size.rows = rows;
    auto& most = memory.step_bytes[rows];
    for (const auto& unet : runners.unets) most = std::max(most, step_bytes(unet, size, options.placement));
  }
  return memory;
}

}  // namespace

void describe_memory(const CheckpointFolder& folder, const Family& family, const PipelineOptions& options,
                     ModelDescription& d) {
  const auto& placement = options.placement;
  for (const auto& text : text_encoders_of(family, folder)) {
    const auto name = concat("text_encoder", text.suffix);
    d.components.push_back(component_memory(name, *folder.source->weights(name), placement));
  }
  d.components.push_back(component_memory("unet", *folder.source->weights("unet"), placement));
  Runners runners{
      .unets = {unet_config(folder)}, .vae = {}, .vae_placement = vae_placement(folder, family.vae_fields, placement)};
  if (const auto refiner = find_refiner(folder)) {
    d.components.push_back(component_memory("refiner/unet", *refiner->source->weights("unet"), placement));
    runners.unets.push_back(unet_config(*refiner));
  }
  d.components.push_back(component_memory("vae", *folder.source->weights("vae"), runners.vae_placement));
  auto vae_config = folder.source->config("vae");
  runners.vae = AutoencoderKLConfig::from(vae_config);

  auto sizes = options.described_sizes;
  sizes.insert(sizes.begin(), {d.native_width, d.native_height});
  for (const auto& [width, height] : sizes) {
    const auto canvas = plan_canvas(d, width, height);
    const auto told = [&](const ActivationMemory& a) {
      return a.width == canvas.drawn_width && a.height == canvas.drawn_height;
    };
    if (std::any_of(d.activations.begin(), d.activations.end(), told)) continue;
    d.activations.push_back(activation_memory(runners, canvas, d.cell, options));
  }

  for (const auto& component : d.components) {
    d.parameters += component.parameters;
    d.weight_bytes += sum(component.stored_bytes);
  }
  d.memory_bytes = device_bytes(d, placement);
  if (!options.adapters.directory.empty()) d.memory_bytes += static_cast<std::int64_t>(options.adapters.memory_bytes);
}

}  // namespace easel
