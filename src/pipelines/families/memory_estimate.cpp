#include "pipelines/families/memory_estimate.h"

#include <algorithm>
#include <functional>
#include <utility>
#include <vector>

#include "models/memory/activation_memory.h"
#include "pipelines/families/components.h"
#include "pipelines/images/canvas.h"
#include "pipelines/images/tiled_autoencoder.h"
#include "pipelines/starts/upscale_tiles.h"
#include "tensor/component_offloader.h"

namespace easel {
namespace {

/// A model whose calls need much memory. The calls of text encoders need little and are not estimated.
template <class ModelConfig>
struct ModelCalls {
  ModelConfig config;
  Placement placement;
};

/// The bytes of one call of a denoising model.
using StepBytes = std::function<std::int64_t(const LatentSize&)>;

struct Runners {
  std::vector<StepBytes> steps;  ///< of each denoising model
  ModelCalls<AutoencoderKLConfig> vae;
  int guided_rows = 2;  ///< of one image with guidance
};

/// A component of the checkpoint or of its refiner.
struct MeasuredComponent {
  Component component;
  ComponentMemory memory;
  std::int64_t streamed_bytes = 0;  ///< on the device at once if its blocks are streamed
  bool announces_blocks = false;    ///< so that they can be streamed
};

std::int64_t sum(const std::map<std::string, std::int64_t>& bytes) {
  std::int64_t total = 0;
  for (const auto& [dtype, count] : bytes) total += count;
  return total;
}

/// How a tensor is kept in memory.
struct KeptTensor {
  std::string form;  ///< a dtype or a format of blocks
  std::int64_t bytes;
};

KeptTensor kept_tensor(const TensorInfo& info, const Placement& placement) {
  if (info.blocks != nullptr && info.shape.size() == 2) return {info.stored_name(), info.stored_bytes()};
  // Stored dtypes concern only the large weights, which layers keep; biases and norms are converted.
  const bool keeps_stored = placement.storage == WeightStorage::kStored && placement.device.is_cpu();
  const bool smaller = c10::elementSize(info.dtype) < c10::elementSize(placement.dtype);
  const bool keeps = (keeps_stored || info.keep_stored || is_float8(info.dtype)) && smaller && info.shape.size() > 1;
  const auto dtype = keeps ? info.dtype : placement.dtype;
  return {dtype_name(dtype), info.elements() * static_cast<std::int64_t>(c10::elementSize(dtype))};
}

/// Counts what the headers of the weight files list.
MeasuredComponent measure_component(Component component, std::string name, const TensorStore& store,
                                    const Placement& placement) {
  MeasuredComponent measured{component,
                             {.name = std::move(name), .parameters = 0, .stored_bytes = {}, .memory_bytes = {}}};
  std::map<std::string, std::int64_t> blocks;
  for (const auto& tensor : store.names()) {
    const TensorInfo& info = *store.find(tensor);
    if (!c10::isFloatingType(info.dtype)) continue;  // e.g. position_ids
    const auto kept = kept_tensor(info, placement);
    measured.memory.parameters += info.elements();
    measured.memory.stored_bytes[info.stored_name()] += info.stored_bytes();
    measured.memory.memory_bytes[kept.form] += kept.bytes;
    const auto block = numbered_block_of(tensor);
    if (!block.empty()) blocks[block] += kept.bytes;
    if (block.empty()) measured.streamed_bytes += kept.bytes;
  }
  std::int64_t largest = 0;
  for (const auto& [block, bytes] : blocks) largest = std::max(largest, bytes);
  constexpr std::int64_t kBlocksAtOnce = 2;
  measured.streamed_bytes += kBlocksAtOnce * largest;
  return measured;
}

/// The placement that a component's calls are estimated for. Weights that are kept in another form than they are
/// computed in make calls larger.
Placement placement_of(const ComponentMemory& component, Placement placement) {
  const auto differs = [&](const auto& held) { return held.first != dtype_name(placement.dtype); };
  const auto is_narrow = [](const auto& held) {
    return held.first != dtype_name(c10::kFloat) && held.first != dtype_name(c10::kHalf) &&
           held.first != dtype_name(c10::kBFloat16);
  };
  const auto& held = component.memory_bytes;
  placement.storage = std::ranges::any_of(held, is_narrow) ? WeightStorage::kBlocks
                      : std::ranges::any_of(held, differs) ? WeightStorage::kStored
                                                           : WeightStorage::kCompute;
  return placement;
}

UNet2DConditionConfig unet_config(const Checkpoint& folder) {
  auto config = folder.source->config(Component::kUnet);
  return UNet2DConditionConfig::from(config);
}

StepBytes step_runner(const Family& family, const Checkpoint& folder, const ComponentMemory& component,
                      const Placement& placement) {
  const auto where = placement_of(component, placement);
  auto json = folder.source->config(family.denoising_model);
  return [estimate = family.step_estimate(json), where](const LatentSize& size) { return estimate(size, where); };
}

/// A distilled UNet takes the guidance scale as an input and needs no unconditional row. The latent upscaler's UNet
/// uses the same input for something else.
int guided_rows(const Family& family, const Checkpoint& folder) {
  if (is_distilled(folder)) return 1;
  if (family.denoising_model != Component::kUnet) return family.guided_rows;
  const auto unet = unet_config(folder);
  return unet.time_cond_proj_dim && !family.image_conditioned ? 1 : family.guided_rows;
}

/// Bytes for one image with guidance at the native size. Each component counts with its weights and its calls: the UNet
/// with a step, the autoencoder with a decode. With offloading, one component is on the device at a time; of a
/// component whose blocks are streamed, two of these count. Text encoders that are released are not there while the
/// others run.
std::int64_t device_bytes(const std::vector<MeasuredComponent>& components,
                          const std::vector<ActivationMemory>& activations, int guided_rows,
                          const Placement& placement) {
  const bool known = !activations.empty();
  const auto step = known ? activations[0].step_bytes.at(guided_rows) : 0;
  const auto decode = known ? activations[0].decode_bytes : 0;
  std::int64_t resident = 0, largest_call = 0, largest_component = 0;
  for (const auto& [component, memory, streamed_bytes, announces_blocks] : components) {
    const auto whole = sum(memory.memory_bytes);
    const bool streamed = announces_blocks && placement.offloader && placement.offloader->streams(whole);
    const auto weights = streamed ? streamed_bytes : whole;
    const auto call = is_denoising_model(component) ? step : component == Component::kVae ? decode : 0;
    const bool leaves = placement.release_text_encoders && is_text_encoder(component);
    if (!leaves) resident += weights;
    largest_call = std::max(largest_call, leaves ? weights : call);
    largest_component = std::max(largest_component, weights + call);
  }
  return placement.offloader ? largest_component : resident + largest_call;
}

/// What is generated and decoded at once: the whole image or, for a large image of an upscaler, one tile.
Canvas canvas_per_call(const Canvas& canvas, const ModelDescription& d, const Checkpoint& folder) {
  if (d.upscale_factor == 0) return canvas;
  const auto sizes = upscale_sizes(d.upscale_factor, d.cell, d.cell, folder.manifest.upscale_tile);
  const std::int64_t width = canvas.generated_width / d.upscale_factor,
                     height = canvas.generated_height / d.upscale_factor;
  if (width * height <= sizes.max_untiled_area) return canvas;
  auto tile = canvas;
  tile.generated_width = std::min(canvas.generated_width, sizes.tile * d.upscale_factor);
  tile.generated_height = std::min(canvas.generated_height, sizes.tile * d.upscale_factor);
  return tile;
}

ActivationMemory activation_memory(const Runners& runners, const Canvas& drawing, const PipelineOptions& options) {
  ActivationMemory memory;
  const auto cell = runners.vae.config.scale();
  LatentSize size{.rows = 1, .height = drawing.generated_height / cell, .width = drawing.generated_width / cell};
  const auto& [vae, vae_placement] = runners.vae;
  const auto tile = choose_tile(options.vae_tiling == VaeTiling::kOn ? VaeTiling::kOn : VaeTiling::kOff,
                                {.height = drawing.generated_height, .width = drawing.generated_width, .cell = cell},
                                reference_tile(vae), /*free=*/0, /*memory_of=*/{});
  memory.decode_bytes = tiled_decode_bytes(vae, size, tile, vae_placement);
  for (const int rows : {1, runners.guided_rows, runners.guided_rows * options.generations_per_step()}) {
    if (memory.step_bytes.contains(rows)) continue;
    size.rows = rows;
    auto& most = memory.step_bytes[rows];
    for (const auto& step : runners.steps) most = std::max(most, step(size));
  }
  return memory;
}

/// Sets ModelDescription::activations: of the native size first, then of the sizes that were asked for.
void estimate_activations(const Runners& runners, const Family& family, const Checkpoint& folder,
                          const PipelineOptions& options, ModelDescription& d) {
  auto sizes = options.estimated_sizes;
  sizes.insert(sizes.begin(), {d.native_width, d.native_height});
  if (!options.estimate_activations) sizes.clear();
  for (const auto& [width, height] : sizes) {
    const auto canvas = family.plan_canvas(d, folder.source->config(family.denoising_model), width, height);
    const auto described = [&](const ActivationMemory& a) {
      return a.width == canvas.generated_width && a.height == canvas.generated_height;
    };
    if (std::any_of(d.activations.begin(), d.activations.end(), described)) continue;
    auto memory = activation_memory(runners, canvas_per_call(canvas, d, folder), options);
    memory.width = canvas.generated_width;
    memory.height = canvas.generated_height;
    d.activations.push_back(std::move(memory));
  }
}

}  // namespace

StepEstimate unet_step_estimate(Config& denoiser) {
  return [config = UNet2DConditionConfig::from(denoiser)](const LatentSize& size, const Placement& placement) {
    return step_bytes(config, size, placement);
  };
}

void describe_memory(const Checkpoint& folder, const Family& family, const PipelineOptions& options,
                     ModelDescription& d) {
  const auto& placement = options.placement;
  std::vector<MeasuredComponent> components;
  const auto measure = [&](const Checkpoint& checkpoint, Component component, const Placement& where,
                           const std::string& prefix = "") -> const ComponentMemory& {
    const auto store = checkpoint.source->weights(component);
    components.push_back(measure_component(component, prefix + component_name(component), *store, where));
    components.back().announces_blocks = component == Component::kTransformer;
    return components.back().memory;
  };
  for (const auto& text : text_encoders_of(family, folder)) {
    measure(folder, text.component, placement);
    components.back().announces_blocks = text.kind != TextEncoderKind::kClip;
  }
  Runners runners;
  runners.steps.push_back(step_runner(family, folder, measure(folder, family.denoising_model, placement), placement));
  runners.guided_rows = guided_rows(family, folder);
  if (const auto refiner = find_refiner(folder)) {
    const auto& memory = measure(*refiner, Component::kUnet, placement, "refiner/");
    runners.steps.push_back(step_runner(family, *refiner, memory, placement));
  }
  const auto vae_own_placement = vae_placement(folder, family.vae_fields, placement);
  const auto& vae_memory = measure(folder, Component::kVae, vae_own_placement);
  auto vae_config = folder.source->config(Component::kVae);
  runners.vae = {.config = AutoencoderKLConfig::from(vae_config),
                 .placement = placement_of(vae_memory, vae_own_placement)};
  if (folder.preview_source) {
    preview_config(folder);  // reports a wrong one now and not with the first request
    const auto store = folder.preview_source->weights(Component::kVae);
    components.push_back(measure_component(Component::kVae, "preview_vae", *store, placement));
  }
  estimate_activations(runners, family, folder, options, d);

  for (const auto& [component, memory, streamed_bytes, announces_blocks] : components) {
    d.parameters += memory.parameters;
    d.weight_bytes += sum(memory.stored_bytes);
    d.components.push_back(memory);
  }
  d.memory_bytes = device_bytes(components, d.activations, runners.guided_rows, placement);
  if (!options.adapters.directory.empty()) d.memory_bytes += static_cast<std::int64_t>(options.adapters.memory_bytes);
}

}  // namespace easel
