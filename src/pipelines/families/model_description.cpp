#include "pipelines/families/model_description.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <limits>

#include "core/text.h"
#include "pipelines/families/components.h"
#include "pipelines/families/memory_estimate.h"
#include "tensor/placement.h"
#include "weights/loading/weights.h"

namespace easel {
namespace {

namespace fs = std::filesystem;

/// "0.6.0.dev0" -> {0, 6}; a version that cannot be parsed sorts last.
std::pair<int, int> major_minor(const std::string& version) {
  int major = 999, minor = 0;
  std::sscanf(version.c_str(), "%d.%d", &major, &minor);
  return {major, minor};
}

/// Latent cells of the native image, height then width. For Stable Diffusion, the reference uses 64 in place of a wrong
/// default that older releases wrote into configs.
std::pair<std::int64_t, std::int64_t> native_cells(Config& unet, const Family& family) {
  const auto& sample_size = unet.raw("sample_size");
  if (sample_size.is_array()) {
    const auto both = unet.get_list<std::int64_t>("sample_size", 2, 0);
    return {both[0], both[1]};
  }
  auto cells = unet.get<std::int64_t>("sample_size", family.default_sample_size);
  const auto& version = unet.raw("_diffusers_version");
  const bool corrected = family.scheduler_corrections != SchedulerCorrections::kNone;
  if (corrected && cells < 64 && version.is_string() && major_minor(version) < std::pair{0, 9}) cells = 64;
  return {cells, cells};
}

std::int64_t unix_seconds(const fs::path& path) {
  const auto time = std::chrono::file_clock::to_sys(fs::last_write_time(path));
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

/// The number of layers that every text encoder can skip.
std::int64_t max_clip_skip(const Checkpoint& folder, const Family& family) {
  std::int64_t least = std::numeric_limits<std::int64_t>::max();
  for (const auto& text : text_encoders_of(family, folder)) {
    constexpr std::int64_t kDefaultLayers = 12;  // transformers'
    Config config = folder.source->config(text.component);
    const auto layers = config.get<std::int64_t>("num_hidden_layers", kDefaultLayers);
    least = std::min(least, text.state == PromptState::kPenultimate ? layers - 1 : layers);
  }
  return least;
}

void describe_sizes_and_inputs(const Checkpoint& folder, const Family& family, Config& vae,
                               const std::vector<std::int64_t>& channels, ModelDescription& d) {
  Config unet = folder.source->config(Component::kUnet);
  d.cell = 1 << (channels.size() - 1);
  const auto [rows, columns] = native_cells(unet, family);
  const auto native = folder.manifest.native_size;
  d.native_width = native ? native->first : static_cast<int>(columns) * d.cell;
  d.native_height = native ? native->second : static_cast<int>(rows) * d.cell;
  d.native_size_only = folder.manifest.native_size_only;
  constexpr std::int64_t kDefaultChannels = 4;  // diffusers', of both
  d.needs_mask = !family.image_conditioned && unet.get<std::int64_t>("in_channels", kDefaultChannels) !=
                                                  vae.get<std::int64_t>("latent_channels", kDefaultChannels);
  d.needs_image = family.needs_image || d.needs_mask;
  d.default_strength = family.default_strength;
  d.upscale_factor = family.upscale_factor;
}

/// Removes schedulers that reject a value of the config and, for a model with noise levels as input, those without
/// first-order steps between noise levels.
void keep_usable_schedulers(const SchedulerConfig& config, NoiseConditioning noise_conditioning, ModelDescription& d) {
  const bool needs_sigmas = noise_conditioning != NoiseConditioning::kTimestep;
  const auto unusable = [&](const std::string& name) {
    const auto capabilities = scheduler_capabilities(name);
    if (needs_sigmas && (!capabilities.has_sigma || capabilities.order != 1)) return true;
    try {
      const auto scheduler = config.make(name, {});
      if (needs_sigmas) scheduler->set_timesteps(d.default_steps);
      return false;
    } catch (const Error&) {
      return true;
    }
  };
  std::erase_if(d.schedulers, unusable);
  std::erase_if(d.scheduler_aliases, [&](const std::string& alias) {
    return std::find(d.schedulers.begin(), d.schedulers.end(), canonical_scheduler_name(alias)) == d.schedulers.end();
  });
}

/// Replaces the file's name in an error of a scheduler by its path.
Error in_scheduler_file(const Error& e, const Checkpoint& folder) {
  const std::string message = e.what(), file = folder.source->config(Component::kScheduler).where();
  const auto name = file.substr(file.rfind('/') + 1);
  return {e.code(), message.starts_with(name) ? file + message.substr(name.size()) : file + ": " + message, e.param()};
}

void describe_defaults(const Checkpoint& folder, const Family& family, ModelDescription& d) {
  const auto& manifest = folder.manifest;
  const SchedulerConfig scheduler(folder, family.scheduler_corrections);
  d.schedulers = scheduler_names();
  d.scheduler_aliases = scheduler_aliases();
  d.default_scheduler =
      manifest.scheduler.empty() ? scheduler.checkpoint_scheduler_name() : canonical_scheduler_name(manifest.scheduler);
  d.default_steps = manifest.num_inference_steps.value_or(family.default_steps);
  d.default_guidance_scale = manifest.guidance_scale.value_or(family.default_guidance_scale);
  try {
    // A default that does not work is reported now and not with every request.
    scheduler.make(d.default_scheduler, {})->set_timesteps(d.default_steps);
  } catch (const Error& e) {
    throw in_scheduler_file(e, folder);
  }
  keep_usable_schedulers(scheduler, family.noise_conditioning, d);
}

}  // namespace

ModelDescription describe_model(const std::string& id, const Checkpoint& folder, const Family& family,
                                const PipelineOptions& options) {
  ModelDescription d;
  d.id = id;
  d.family = family.name;
  d.licence = find_licence(folder);
  d.folder = folder.path;
  d.dtype = dtype_name(options.placement.dtype);
  d.created = unix_seconds(folder.index);

  Config vae = folder.source->config(Component::kVae);
  const auto channels = vae.get<std::vector<std::int64_t>>("block_out_channels");
  if (channels.empty() || channels.size() > 16) {
    throw Error(ErrorCode::kCorruptData, vae.where() + ": `block_out_channels` must have 1 to 16 entries");
  }
  describe_sizes_and_inputs(folder, family, vae, channels, d);
  describe_defaults(folder, family, d);
  d.max_clip_skip = max_clip_skip(folder, family);

  describe_memory(folder, family, options, d);
  return d;
}

}  // namespace easel
