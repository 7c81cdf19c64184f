// Opens checkpoints.
#include "pipelines/registry.h"

#include <c10/core/DeviceGuard.h>
#include <c10/core/StreamGuard.h>

#include <algorithm>
#include <filesystem>

#include "adapters/adapters.h"
#include "adapters/prompt_adapters.h"
#include "checkpoints/model_search.h"
#include "checkpoints/single_file.h"
#include "core/log.h"
#include "core/text.h"
#include "pipelines/families/automatic_dtype.h"
#include "pipelines/families/checked_pipeline.h"
#include "pipelines/families/components.h"
#include "pipelines/families/families.h"
#include "pipelines/families/memory_check.h"
#include "pipelines/families/model_description.h"
#include "pipelines/families/pipeline_builder.h"
#include "pipelines/families/warm_up.h"
#include "tensor/compute_capability.h"
#include "tensor/free_memory.h"
#include "tensor/placement.h"
#include "tensor/torch_errors.h"
#include "weights/format/file_names.h"
#include "weights/loading/load_context.h"

namespace easel {
namespace {

namespace fs = std::filesystem;

void check_components(const Checkpoint& folder, const Family& family) {
  for (const auto& text : text_encoders_of(family, folder)) {
    const auto encoder = folder.components.find(text.component);
    const bool is_other =
        encoder != folder.components.end() && text.other_class_name && encoder->second == text.other_class_name;
    if (!is_other) folder.require(text.component, text.class_name);
    const auto tokenizer = folder.components.find(tokenizer_of(text.component));
    if (tokenizer == folder.components.end() || !tokenizer->second.starts_with(text.tokenizer_class)) {
      folder.require(tokenizer_of(text.component), text.tokenizer_class);  // the "Fast" class gives the same ids
    }
  }
  const auto denoiser = folder.components.find(family.denoising_model);
  const bool is_other_class = denoiser != folder.components.end() && family.other_denoising_model_class &&
                              denoiser->second == family.other_denoising_model_class;
  if (!is_other_class) folder.require(family.denoising_model, family.denoising_model_class);
  const auto vae = folder.components.find(Component::kVae);
  const bool is_tiny = vae != folder.components.end() && vae->second == "AutoencoderTiny";
  if (!is_tiny || std::string_view(family.autoencoder_class) != "AutoencoderKL") {
    folder.require(Component::kVae, family.autoencoder_class);
  }
  if (folder.components.contains(Component::kImageEncoder)) {
    throw Error(ErrorCode::kUnsupported, folder.index + ": `image_encoder` is not supported; it must be null");
  }
}

/// Runs `work` on the checkpoint at `path`. Exceptions of libraries (file systems, torch, JSON) become an Error, so
/// that an unforeseen fault in one checkpoint does not affect others.
template <class Work>
auto with_checkpoint_errors(const std::string& path, const Work& work) {
  try {
    return with_torch_errors(work);
  } catch (const Error& e) {
    if (e.code() != ErrorCode::kInternal) throw;
    throw Error(ErrorCode::kCorruptData, concat(path, ": ", e.what()));
  } catch (const std::exception& e) {
    throw Error(ErrorCode::kCorruptData, concat(path, ": ", e.what()));
  }
}

/// Judged by names. An entry that cannot be read counts as a checkpoint, so that opening it reports why.
bool is_checkpoint(const fs::directory_entry& entry) {
  const auto& path = entry.path();
  std::error_code unknown;
  if (!entry.is_regular_file(unknown)) return fs::exists(path / "model_index.json", unknown) || unknown;
  if (is_safetensors_name(path.string()) || is_gguf_name(path.string()))
    return is_single_file_checkpoint(path.string());
  // A pickle is listed so that it is rejected with a reason, unless it was converted.
  return lower_extension(path.string()) == ".ckpt" &&
         !fs::exists(fs::path(path).replace_extension(".safetensors"), unknown);
}

void warn_about_dtype(const std::string& id, const Placement& placement) {
  if (placement.device.is_cpu() && !cpu_supports(placement.dtype)) {
    log::warning(concat(id, ": this CPU has no native arithmetic for ", dtype_name(placement.dtype),
                        ", which is many times slower than float32; --weights-dtype stored saves memory ",
                        "without that cost"));
  }
  if (!has_fused_attention(placement.dtype, compute_capability(placement.device))) {
    log::warning(concat(id, ": ", placement.device.str(), " has no fused attention for ", dtype_name(placement.dtype),
                        ", so it is slow and takes more memory than estimated; try --dtype float16"));
  }
}

/// Loads on the calling thread while other threads may use the device.
std::unique_ptr<Pipeline> load(const Family& family, Checkpoint folder, const ModelDescription& description,
                               const PipelineOptions& options) {
  const auto device = options.placement.device;
  const c10::OptionalDeviceGuard guard(device);
  c10::OptionalStreamGuard on_own_stream;
  if (!device.is_cpu()) {
    folder.load_context.upload = std::make_shared<StagedUpload>(device);
    on_own_stream.reset_stream(folder.load_context.upload->stream());
  }
  std::unique_ptr<Pipeline> pipeline;
  {
    PipelineBuilder builder(family, folder, description, options);
    pipeline = family.load(builder);
  }
  pipeline = with_checks(std::move(pipeline), folder, folder.load_context.files, device);
  if (device.is_cpu()) return pipeline;
  folder.load_context.upload->finish();
  if (can_warm_up(description, options.placement)) {
    warm_up(*pipeline);
    folder.load_context.upload->finish();
  }
  return pipeline;
}

ServedModel open(const std::string& id, const std::string& path, PipelineOptions options,
                 const CheckpointOptions& how) {
  const auto folder = Checkpoint::open(path, how);
  const Family& family = find_family(folder);
  check_components(folder, family);
  if (options.choose_dtype) {
    auto& placement = options.placement;
    const auto model = family.denoising_model;
    placement.dtype = automatic_dtype(placement.device, model, *folder.source->weights(model));
  }
  const auto description = describe_model(id, folder, family, options);
  return {.description = description,
          .load =
              [=, family = &family](const std::string& device, const LoadProgress& progress) {
                auto loading = folder;
                loading.load_context = {.meter = std::make_shared<LoadMeter>(description.weight_bytes, progress),
                                        .files = std::make_shared<MappedFiles>()};
                auto there = options;
                if (!device.empty()) there.placement.device = make_placement(device, "auto").device;
                if (options.offloaders) there.placement.offloader = options.offloaders->of(there.placement.device);
                warn_about_dtype(id, there.placement);
                if (folder.components.contains(Component::kSafetyChecker)) {
                  log::info(concat(id, ": this checkpoint has a safety checker, which easel does not run"));
                }
                return with_load_errors(
                    [&] { return with_torch_errors([&] { return load(*family, loading, description, there); }); });
              },
          .check =
              [=, adapters = Adapters::directory_of(options.adapters), capacity = total_memory(at::kCPU),
               of_family = family.request_check == nullptr
                               ? std::function<void(const GenerationRequest&)>()
                               : family.request_check(folder, options, description)](const GenerationRequest& request) {
                if (options.placement.device.is_cpu()) check_memory(request, description, capacity);
                if (of_family) of_family(request);
                GenerationRequest names;  // without the images of the request
                names.prompt = request.prompt;
                names.loras = request.loras;
                Adapters::check(with_prompt_adapters(std::move(names)).loras, *adapters);
              }};
}

}  // namespace

ServedModel open_model(const std::string& id, const std::string& path, const PipelineOptions& options,
                       const CheckpointOptions& how) {
  return with_checkpoint_errors(path, [&] { return open(id, path, options, how); });
}

void check_pipeline_class(const std::string& class_name, const std::string& where) {
  Checkpoint named;
  named.class_name = class_name;
  named.index = where;
  find_family(named);
}

std::string checkpoint_name(const std::string& path) {
  if (auto name = hub_name(path); !name.empty()) return name;
  auto normal = fs::path(path).lexically_normal();
  if (!normal.has_filename()) normal = normal.parent_path();
  if (normal.filename() == "." || normal.filename() == "..") normal = fs::canonical(normal);
  std::error_code unknown;
  return (fs::is_regular_file(normal, unknown) ? normal.stem() : normal.filename()).string();
}

std::vector<std::string> find_checkpoints(const std::string& directory) {
  if (!fs::is_directory(directory)) {
    throw Error(ErrorCode::kNotFound, concat("models folder ", directory, " does not exist"));
  }
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator(directory)) {
    if (is_checkpoint(entry)) found.push_back(entry.path().string());
  }
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace easel
