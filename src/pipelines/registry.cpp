// Opens checkpoints.
#include "pipelines/registry.h"

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
  folder.require(family.denoising_model, family.denoising_model_class);
  folder.require(Component::kVae, "AutoencoderKL");
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
  if (is_safetensors_name(path.string())) return is_single_file_checkpoint(path.string());
  // A pickle is listed so that it is rejected with a reason, unless it was converted.
  return lower_extension(path.string()) == ".ckpt" &&
         !fs::exists(fs::path(path).replace_extension(".safetensors"), unknown);
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
                if (there.placement.device.is_cpu() && !cpu_supports(there.placement.dtype)) {
                  log::warning(concat(id, ": this CPU has no native arithmetic for ", dtype_name(there.placement.dtype),
                                      ", which is many times slower than float32; --weights-dtype stored saves memory ",
                                      "without that cost"));
                }
                if (folder.components.contains(Component::kSafetyChecker)) {
                  log::info(concat(id, ": this checkpoint has a safety checker, which easel does not run"));
                }
                auto pipeline = with_load_errors([&] {
                  PipelineBuilder builder(*family, loading, description, there);
                  return family->load(builder);
                });
                return with_checks(std::move(pipeline), folder, loading.load_context.files);
              },
          .check =
              [=, adapters = Adapters::directory_of(options.adapters),
               capacity = host_memory_capacity()](const GenerationRequest& request) {
                if (options.placement.device.is_cpu()) check_memory(request, description, capacity);
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
