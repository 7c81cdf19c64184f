#include "pipelines/model_options.h"

#include <cstddef>
#include <filesystem>
#include <memory>

#include "core/text.h"
#include "pipelines/registry.h"
#include "tensor/component_offloader.h"
#include "tensor/placement.h"

namespace easel {
namespace {

VaeTiling to_vae_tiling(std::optional<bool> tiling) {
  if (!tiling) return VaeTiling::kAuto;
  return *tiling ? VaeTiling::kOn : VaeTiling::kOff;
}

}  // namespace

PipelineOptions make_pipeline_options(const ModelOptions& options) {
  if (!options.lora_dir.empty() && !std::filesystem::is_directory(options.lora_dir)) {
    throw Error(ErrorCode::kNotFound, concat("the LoRA folder ", options.lora_dir, " does not exist"));
  }
  PipelineOptions made{
      .placement = make_placement(options.device, options.dtype),
      .choose_dtype = options.dtype == "auto",
      .max_generations_per_step = options.max_generations_per_step,
      .vae_tiling = to_vae_tiling(options.vae_tiling),
      .estimate_activations = options.estimate_activations,
      .estimated_sizes = options.estimated_sizes,
      .prompt_syntax = options.prompt_syntax,
      .adapters = {.directory = options.lora_dir, .memory_bytes = static_cast<std::size_t>(options.lora_memory)}};
  if (!options.lora_dir.empty()) made.adapters.index = std::make_shared<AdapterDirectory>(options.lora_dir);
  if (options.keep_stored_dtype) made.placement.storage = WeightStorage::kStored;
  made.placement.release_text_encoders = options.release_text_encoders;
  if (!options.embeddings_dir.empty()) made.embeddings = std::make_shared<EmbeddingFolder>(options.embeddings_dir);
  // The weights of a CPU are in the host's memory already.
  if ((options.offload_components || options.offload_blocks) && !made.placement.device.is_cpu()) {
    made.offloaders = std::make_shared<ComponentOffloaders>(options.offload_blocks);
    made.placement.offloader = made.offloaders->of(made.placement.device);
  }
  return made;
}

ServedModel open_model(const std::string& path, const ModelOptions& options) {
  const auto id = options.id.empty() ? checkpoint_name(path) : options.id;
  CheckpointOptions how{.vae = options.vae,
                        .preview_vae = options.preview_vae,
                        .variant = options.variant,
                        .ignored_tensors = options.ignored_tensors,
                        .components = options.components};
  if (!options.quantize.empty()) how.quantization = parse_quantization(options.quantize);
  return open_model(id, path, make_pipeline_options(options), how);
}

}  // namespace easel
