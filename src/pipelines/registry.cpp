// The table of families, and what can be told of a checkpoint before its weights are read.
#include "pipelines/registry.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>

#include "core/config.h"
#include "core/log.h"
#include "core/text.h"
#include "weights/weights.h"

namespace easel {
namespace {

namespace fs = std::filesystem;

/// A family: its class in model_index.json, and what it is built from.
struct Family {
  const char* class_name;
  const char* family;
  std::unique_ptr<Pipeline> (*load)(const CheckpointFolder&, ModelDescription, const PipelineOptions&);
};

template <class FamilyPipeline>
std::unique_ptr<Pipeline> make_pipeline(const CheckpointFolder& folder, ModelDescription description,
                                        const PipelineOptions& options) {
  return std::make_unique<FamilyPipeline>(folder, std::move(description), options);
}

constexpr Family kFamilies[] = {
    {"StableDiffusionPipeline", "stable-diffusion", &make_pipeline<StableDiffusionPipeline>},
};

const Family& find_family(const CheckpointFolder& folder) {
  std::vector<std::string> names;
  for (const auto& family : kFamilies) {
    if (folder.class_name == family.class_name) return family;
    names.push_back(family.class_name);
  }
  throw Error(ErrorCode::kUnsupported, concat(folder.file("model_index.json"), ": `_class_name` is ", folder.class_name,
                                              "; easel supports ", join(names)));
}

/// "0.6.0.dev0" -> {0, 6}; what cannot be read sorts last.
std::pair<int, int> major_minor(const std::string& version) {
  int major = 999, minor = 0;
  std::sscanf(version.c_str(), "%d.%d", &major, &minor);
  return {major, minor};
}

/// Latent cells of the native picture, height then width. The reference takes 64 for configs that older releases wrote
/// with the wrong default.
std::pair<std::int64_t, std::int64_t> native_cells(Config& unet) {
  const auto& sample_size = unet.raw("sample_size");
  if (sample_size.is_array()) {
    const auto both = unet.get_list<std::int64_t>("sample_size", 2, 0);
    return {both[0], both[1]};
  }
  auto cells = unet.get<std::int64_t>("sample_size", 64);
  const auto version = unet.object().value("_diffusers_version", "999");
  if (cells < 64 && major_minor(version) < std::pair{0, 9}) cells = 64;
  return {cells, cells};
}

void count_weights(const std::string& folder, const char* stem, ModelDescription& description) {
  const auto store = open_component(folder, stem);
  for (const auto& name : store->names()) {
    const TensorInfo& info = *store->find(name);
    if (!c10::isFloatingType(info.dtype)) continue;  // position_ids and the like
    std::int64_t count = 1;
    for (const auto extent : info.shape) count *= extent;
    description.parameters += count;
    description.weight_bytes += count * static_cast<std::int64_t>(c10::elementSize(info.dtype));
  }
}

/// The decoder's full-resolution blocks hold the largest tensors: about four of them at once, of the second channel count.
std::int64_t decode_bytes(const std::vector<std::int64_t>& channels, const ModelDescription& d, std::int64_t element) {
  constexpr std::int64_t kTensorsAlive = 4;
  return kTensorsAlive * channels[std::min<std::size_t>(1, channels.size() - 1)] * d.native_width * d.native_height *
         element;
}

void check_components(const CheckpointFolder& folder) {
  folder.require("text_encoder", "CLIPTextModel");
  folder.require("unet", "UNet2DConditionModel");
  folder.require("vae", "AutoencoderKL");
  const auto tokenizer = folder.components.find("tokenizer");
  if (tokenizer == folder.components.end() || !tokenizer->second.starts_with("CLIPTokenizer")) {
    folder.require("tokenizer", "CLIPTokenizer");  // CLIPTokenizerFast gives the same ids
  }
  if (folder.components.contains("image_encoder")) {
    throw Error(ErrorCode::kUnsupported,
                folder.file("model_index.json") + ": `image_encoder` is not supported; only null is");
  }
}

std::int64_t unix_seconds(const fs::path& path) {
  const auto time = std::chrono::file_clock::to_sys(fs::last_write_time(path));
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

ModelDescription describe(const std::string& id, const CheckpointFolder& folder, const Family& family,
                          const Placement& placement) {
  ModelDescription d;
  d.id = id;
  d.family = family.family;
  d.licence = find_licence(folder);
  d.folder = folder.path;
  d.created = unix_seconds(folder.file("model_index.json"));
  count_weights(folder.file("text_encoder"), "model", d);
  count_weights(folder.file("unet"), "diffusion_pytorch_model", d);
  count_weights(folder.file("vae"), "diffusion_pytorch_model", d);

  Config unet = Config::read_file(folder.file("unet/config.json"), folder.file("unet/config.json"));
  Config vae = Config::read_file(folder.file("vae/config.json"), folder.file("vae/config.json"));
  Config text = Config::read_file(folder.file("text_encoder/config.json"), folder.file("text_encoder/config.json"));
  const auto channels = vae.get<std::vector<std::int64_t>>("block_out_channels");
  if (channels.empty() || channels.size() > 16) {
    throw Error(ErrorCode::kCorruptData, vae.where() + ": `block_out_channels` must have 1 to 16 entries");
  }
  d.cell = 1 << (channels.size() - 1);
  const auto [rows, columns] = native_cells(unet);
  const auto native = folder.manifest.native_size;
  d.native_width = native ? native->first : static_cast<int>(columns) * d.cell;
  d.native_height = native ? native->second : static_cast<int>(rows) * d.cell;
  d.draws_native_size_only = folder.manifest.native_size_only;
  d.max_clip_skip = text.get<std::int64_t>("num_hidden_layers", 12);
  const auto element = static_cast<std::int64_t>(c10::elementSize(placement.dtype));
  d.memory_bytes = d.parameters * element + decode_bytes(channels, d, element);

  const SchedulerConfig scheduler(folder);
  d.schedulers = scheduler_names();
  d.scheduler_aliases = scheduler_aliases();
  d.default_scheduler =
      folder.manifest.scheduler.empty() ? scheduler.own_name() : scheduler_name_for(folder.manifest.scheduler);
  d.default_steps = folder.manifest.num_inference_steps.value_or(d.default_steps);
  d.default_guidance_scale = folder.manifest.guidance_scale.value_or(d.default_guidance_scale);
  scheduler.make(d.default_scheduler, {})->set_timesteps(d.default_steps);  // a bad default is told now, not per request
  return d;
}

}  // namespace

ServedModel open_model(const std::string& id, const std::string& path, const PipelineOptions& options) {
  const auto folder = CheckpointFolder::open(path);
  const Family& family = find_family(folder);
  check_components(folder);
  auto description = describe(id, folder, family, options.placement);
  return {.description = description, .load = [=, load = family.load] {
            if (folder.components.contains("safety_checker")) {
              log::info(concat(id, ": this checkpoint has a safety checker; easel does not run it"));
            }
            try {
              return load(folder, description, options);
            } catch (const Error& e) {
              // The model is known; that a file of it is missing is no "not found" to whoever asked for a picture.
              throw Error(e.code() == ErrorCode::kNotFound ? ErrorCode::kCorruptData : e.code(), e.what());
            }
          }};
}

std::vector<std::string> find_checkpoints(const std::string& directory) {
  if (!fs::is_directory(directory)) {
    throw Error(ErrorCode::kNotFound, concat("models folder ", directory, " does not exist"));
  }
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator(directory)) {
    if (fs::exists(entry.path() / "model_index.json")) found.push_back(entry.path().string());
  }
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace easel
