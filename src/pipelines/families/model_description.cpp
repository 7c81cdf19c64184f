#include "pipelines/families/model_description.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <filesystem>
#include <initializer_list>
#include <iterator>
#include <limits>

#include "core/text.h"
#include "pipelines/families/memory_estimate.h"
#include "tensor/placement.h"

namespace easel {
namespace {

namespace fs = std::filesystem;

/// "0.6.0.dev0" -> {0, 6}; a version that cannot be parsed sorts last.
std::pair<int, int> major_minor(const std::string& version) {
  int major = 999, minor = 0;
  const char* const end = version.data() + version.size();
  const auto [dot, error] = std::from_chars(version.data(), end, major);
  if (error == std::errc() && dot != end && *dot == '.') std::from_chars(dot + 1, end, minor);
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

/// The channels of each level of the autoencoder.
/// @throws Error(kUnsupported)  the family does not take an AutoencoderTiny
std::vector<std::int64_t> level_channels(Config& vae, const Family& family) {
  if (vae.raw("_class_name") != "AutoencoderTiny") {
    return vae.get<std::vector<std::int64_t>>("block_out_channels");
  }
  if (family.upscale_factor > 0) {
    throw Error(ErrorCode::kUnsupported,
                vae.where() + ": `_class_name` is AutoencoderTiny, which is not supported with models that upscale");
  }
  auto fields = vae;
  return AutoencoderKLConfig::from(fields).block_out_channels;
}

/// The number of layers that every text encoder of CLIP can skip; 0 without any.
std::int64_t max_clip_skip(const Checkpoint& folder, const Family& family) {
  std::int64_t least = std::numeric_limits<std::int64_t>::max();
  bool any = false;
  for (const auto& text : text_encoders_of(family, folder)) {
    if (text.kind != TextEncoderKind::kClip || !family.takes_clip_skip) continue;
    any = true;
    constexpr std::int64_t kDefaultLayers = 12;  // transformers'
    Config config = folder.source->config(text.component);
    const auto layers = config.get<std::int64_t>("num_hidden_layers", kDefaultLayers);
    least = std::min(least, text.state == PromptState::kPenultimate ? layers - 1 : layers);
  }
  return any ? least : 0;
}

void describe_sizes_and_inputs(const Checkpoint& folder, const Family& family, Config& vae,
                               const std::vector<std::int64_t>& channels, ModelDescription& d) {
  Config unet = folder.source->config(family.denoising_model);
  const int scale = 1 << (channels.size() - 1);  // pixels per latent cell
  d.cell = scale * family.patch_size;
  const auto [rows, columns] = native_cells(unet, family);
  const auto native = folder.manifest.native_size;
  d.native_width = native ? native->first : static_cast<int>(columns) * scale;
  d.native_height = native ? native->second : static_cast<int>(rows) * scale;
  d.native_size_only = folder.manifest.native_size_only;
  constexpr std::int64_t kDefaultChannels = 4;  // diffusers', of both
  const auto in_channels = unet.get<std::int64_t>("in_channels", kDefaultChannels);
  const auto latent_channels = vae.get<std::int64_t>("latent_channels", kDefaultChannels);
  // Some transformers take patches of latents, and so more channels whatever they were trained for.
  const bool takes_mask = family.denoising_model == Component::kUnet ? in_channels != latent_channels
                                                                     : in_channels == 2 * latent_channels + 1;
  d.needs_mask = !family.image_conditioned && takes_mask;
  d.needs_image = family.needs_image || d.needs_mask;
  d.default_strength = family.default_strength;
  d.rounds_size_down = family.rounds_size_down;
  d.keeps_input_sizes = family.keeps_input_sizes;
  d.second_image_needs_mask = family.second_image_needs_mask;
  d.max_reference_pixels = family.max_reference_pixels;
  d.min_reference_pixels = family.min_reference_pixels;
  d.upscale_factor = family.upscale_factor;
  d.max_input_images = family.max_input_images;
}

/// Removes schedulers that reject a value of the config, those for another kind of training than the family's and, for
/// a model with noise levels as input, those without first-order steps between noise levels.
void keep_usable_schedulers(const SchedulerConfig& config, const Family& family, const SchedulerOptions& options,
                            ModelDescription& d) {
  const bool needs_sigmas = family.noise_conditioning != NoiseConditioning::kTimestep;
  const auto unusable = [&](const std::string& name) {
    const auto capabilities = scheduler_capabilities(name);
    if (capabilities.flow_matching != family.flow_matching) return true;
    if (family.default_sigmas != DefaultSigmas::kOfScheduler && !capabilities.custom_sigmas) return true;
    if (needs_sigmas && (!capabilities.has_sigma || capabilities.order != 1)) return true;
    try {
      const auto scheduler = config.make(name, options);
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

/// @throws Error(kUnsupported)  the checkpoint's own scheduler is for another kind of training than the family's
void check_scheduler_kind(const SchedulerConfig& config, const Checkpoint& folder, const Family& family) {
  const auto own = scheduler_capabilities(config.checkpoint_scheduler_name());
  if (own.flow_matching == family.flow_matching) return;
  throw Error(ErrorCode::kUnsupported,
              concat(folder.source->config(Component::kScheduler).where(), ": `_class_name` is ", own.class_name,
                     own.flow_matching ? ", which only fits models that were trained by flow matching"
                                       : ", which does not fit models that were trained by flow matching"));
}

void describe_defaults(const Checkpoint& folder, const Family& family, ModelDescription& d) {
  const auto& manifest = folder.manifest;
  const SchedulerConfig scheduler(folder, family.scheduler_corrections);
  Config fields = folder.source->config(Component::kScheduler);
  // The schedulers of flow matching know no other prediction.
  d.prediction_type = family.flow_matching ? "flow_prediction" : fields.get<std::string>("prediction_type", "epsilon");
  d.prediction_source = folder.prediction_source;
  check_scheduler_kind(scheduler, folder, family);
  d.schedulers = scheduler_names();
  d.scheduler_aliases = scheduler_aliases();
  d.default_scheduler =
      manifest.scheduler.empty() ? scheduler.checkpoint_scheduler_name() : canonical_scheduler_name(manifest.scheduler);
  d.default_steps = manifest.num_inference_steps.value_or(family.default_steps);
  d.guides_above = family.guidance_rule == GuidanceRule::kFromText ? 0.0 : 1.0;
  d.separate_guidance = family.guidance_rule == GuidanceRule::kTrueCfg;
  d.default_guidance_scale = manifest.guidance_scale.value_or(family.default_guidance_scale);
  SchedulerOptions options;
  if (family.patch_size > 1) {
    options.mu = scheduler.mu(family.mu_rule, (d.native_width / d.cell) * (d.native_height / d.cell), d.default_steps);
  }
  try {
    // A default that does not work is reported now and not with every request.
    set_request_timesteps(*scheduler.make(d.default_scheduler, options), {}, d.default_steps, family.default_sigmas);
  } catch (const Error& e) {
    throw in_scheduler_file(e, folder);
  }
  keep_usable_schedulers(scheduler, family, options, d);
}

/// Which fields of requests change nothing with this model, and which schedulers use `eta`.
/// @param denoiser  the config of the denoising model
void describe_unused_fields(const Checkpoint& folder, const Family& family, Config denoiser, ModelDescription& d) {
  d.unused_fields = names_of_unused_fields(family.fields);
  const auto add = [&](std::initializer_list<const char*> names) {
    d.unused_fields.insert(d.unused_fields.end(), names.begin(), names.end());
  };
  if (denoiser.raw("addition_embed_type") != "text_time") {
    add({"original_size", "crops_coords_top_left", "target_size", "negative_original_size",
         "negative_crops_coords_top_left", "negative_target_size"});
  }
  const bool has_refiner = !folder.manifest.refiner.empty();
  const bool takes_scores =
      has_refiner || Config(folder.settings, folder.index).get("requires_aesthetics_score", false);
  if (!takes_scores) add({"aesthetic_score", "negative_aesthetic_score"});
  if (!has_refiner) add({"denoising_end"});
  // A model that takes the guidance scale as an input computes no unconditional row.
  const bool embeds_guidance = !denoiser.raw("time_cond_proj_dim").is_null() && !family.image_conditioned;
  if (embeds_guidance && !has_refiner) add({"negative_prompt", "guidance_rescale"});
  for (const auto* names : {&d.schedulers, &d.scheduler_aliases}) {
    std::copy_if(names->begin(), names->end(), std::back_inserter(d.eta_schedulers), [](const std::string& name) {
      return scheduler_capabilities(canonical_scheduler_name(name)).uses_eta;
    });
  }
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
  const auto channels = level_channels(vae, family);
  if (channels.empty() || channels.size() > 16) {
    throw Error(ErrorCode::kCorruptData, vae.where() + ": `block_out_channels` must have 1 to 16 entries");
  }
  describe_sizes_and_inputs(folder, family, vae, channels, d);
  describe_defaults(folder, family, d);
  d.max_clip_skip = max_clip_skip(folder, family);
  describe_unused_fields(folder, family, folder.source->config(family.denoising_model), d);

  if (family.describe != nullptr) family.describe(folder, d);

  describe_memory(folder, family, options, d);
  return d;
}

}  // namespace easel
