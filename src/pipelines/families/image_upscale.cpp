#include "pipelines/families/image_upscale.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>

#include <algorithm>
#include <utility>

#include "core/text.h"
#include "pipelines/denoising/start_strategy.h"
#include "pipelines/families/components.h"
#include "pipelines/families/stable_diffusion.h"
#include "pipelines/families/upscale_canvas.h"
#include "pipelines/families/upscale_noise.h"
#include "pipelines/images/pixels.h"
#include "schedulers/schedule/noise_schedule.h"
#include "tensor/upload.h"

namespace easel {
namespace {

constexpr std::int64_t kDefaultNoiseLevel = 20, kDefaultMaxNoiseLevel = 350;
// The reference sets it, whatever the autoencoder's config says.
constexpr double kScalingFactor = 0.08333;

/// What a request asks for, as far as the checkpoint allows it.
std::int64_t noise_level_of(const GenerationRequest& request, std::int64_t max_noise_level) {
  return request.noise_level.value_or(std::min(kDefaultNoiseLevel, max_noise_level));
}

/// The prompt, and the noise level as a class.
class NoiseLevelConditioner : public Conditioner {
 public:
  NoiseLevelConditioner(std::unique_ptr<Conditioner> prompt_conditioner, std::int64_t max_noise_level,
                        c10::Device device)
      : prompt_conditioner_(std::move(prompt_conditioner)), max_noise_level_(max_noise_level), device_(device) {}

  UNetConditioning encode(const GenerationRequest& request, const Canvas& canvas, Guidance guidance,
                          const RunContext& context) override {
    auto conditioning = prompt_conditioner_->encode(request, canvas, guidance, context);
    conditioning.class_labels =
        upload(at::full({conditioning.prompt_embeds.size(0)}, noise_level_of(request, max_noise_level_), at::kLong),
               device_, at::kLong);
    return conditioning;
  }

 private:
  std::unique_ptr<Conditioner> prompt_conditioner_;
  std::int64_t max_noise_level_;
  c10::Device device_;
};

class FromLowResolutionImage : public StartStrategy {
 public:
  FromLowResolutionImage(const UpscaleSizes& sizes, NoiseSchedule schedule, std::int64_t max_noise_level)
      : sizes_(sizes), schedule_(std::move(schedule)), max_noise_level_(max_noise_level) {}

  std::int64_t extra_channels(const AutoencoderKLConfig&) const override { return kImageChannels; }

  void check(const GenerationRequest& request) const override {
    reject_image_to_image_fields(request);
    if (request.image_guidance_scale) reject_field("image_guidance_scale", "has no use in this model");
    const auto level = noise_level_of(request, max_noise_level_);
    if (level < 0 || level > max_noise_level_) {
      reject_field("noise_level", concat("is ", level, ", expected 0 to ", max_noise_level_));
    }
  }

  Canvas canvas(const GenerationRequest& request, const ModelDescription&) const override {
    return upscale_canvas(request, sizes_);
  }

  bool guided(const GenerationRequest&, double guidance_scale) const override { return guidance_scale > 1.0; }

  PrepareLatents read(const GenerationRequest& request, const Canvas& canvas, bool, const ImageCodec& codec,
                      const Placement& placement, const RunContext&) const override {
    validate_image(*request.image, "image");
    const auto source = resize_to_source(*request.image, canvas, sizes_);
    const auto grid = plan_source_tiles(source, sizes_);
    std::vector<at::Tensor> images;
    for (std::size_t i = 0; i < grid.count(); ++i) {
      images.push_back(upload(to_tensor(cut_tile(source, grid, i)), placement.device, placement.dtype));
    }
    return [this, images = std::move(images), grid = grid.scaled(sizes_.factor), placement,
            channels = codec.config().latent_channels,
            level = noise_level_of(request, max_noise_level_)](DiffusionGeneration& generation) {
      const auto cells = grid.scaled(1, sizes_.factor);
      NoiseSource noise(generation.seed());
      const auto image_noise = noise.normal({1, kImageChannels, cells.height, cells.width});
      const auto latents =
          upload(noise.normal({1, channels, cells.height, cells.width}), placement.device, placement.dtype) *
          generation.phase().scheduler->init_noise_sigma();
      std::vector<Tile> tiles;
      for (std::size_t i = 0; i < images.size(); ++i) {
        const auto image_tile_noise =
            upload(cut_tile(image_noise, cells, i), images[i].device(), images[i].scalar_type());
        tiles.push_back({.noise = noise_of_tile(noise, cells, i),
                         .latents = cut_tile(latents, cells, i),
                         .extra_channels = schedule_.add_noise(images[i], image_tile_noise, level)});
      }
      generation.begin_tiles(std::move(tiles), grid);
    };
  }

 private:
  UpscaleSizes sizes_;
  NoiseSchedule schedule_;
  std::int64_t max_noise_level_;
};

NoiseSchedule read_low_res_schedule(const Checkpoint& folder) {
  folder.require(Component::kLowResScheduler, "DDPMScheduler");
  const auto config = folder.source->config(Component::kLowResScheduler);
  try {
    SchedulerArguments arguments(config.object(), nlohmann::json::object());
    return read_noise_schedule(arguments, ZeroTerminalSnr::kExact, {.supports_sigmoid_and_laplace = true});
  } catch (const Error& e) {
    throw Error(e.code(), concat(config.where(), ": ", e.what()));
  }
}

/// @throws Error(kUnsupported)  the UNet has no class for a noise level that requests may ask for
std::int64_t read_max_noise_level(const Checkpoint& folder, const UNet2DConditionConfig& unet) {
  Config settings(folder.settings, folder.index);
  const auto level = settings.get<std::int64_t>("max_noise_level", kDefaultMaxNoiseLevel);
  if (unet.class_embed_type != ClassEmbedType::kEmbedding || level < 0 || level >= unet.num_class_embeds) {
    throw Error(ErrorCode::kUnsupported,
                concat(folder.source->config(Component::kUnet).where(), ": `num_class_embeds` is ",
                       unet.num_class_embeds, "; an upscaler needs more than its `max_noise_level`, ", level));
  }
  return level;
}

}  // namespace

std::unique_ptr<Pipeline> load_image_upscale(const Family& family, const Checkpoint& folder,
                                             ModelDescription description, const PipelineOptions& options) {
  const auto& placement = options.placement;
  const auto& text = family.text_encoders[0];
  auto unet = load_unet(folder, placement, {.class_labels = true});
  if (description.cell != family.upscale_factor) {
    throw Error(ErrorCode::kUnsupported,
                concat(folder.source->config(Component::kVae).where(), ": `block_out_channels` enlarge by ",
                       description.cell, "; this family's enlarge by ", family.upscale_factor));
  }
  const auto max_noise_level = read_max_noise_level(folder, unet.config());
  const auto sizes =
      upscale_sizes(family.upscale_factor, description.cell, description.cell, folder.manifest.upscale_tile);
  const auto encoder = load_prompt_encoder(folder, text.component, text.state, placement, options.embeddings);
  auto prompt_conditioner = make_stable_diffusion_conditioner(encoder);
  std::vector<Denoiser> denoisers;
  denoisers.push_back({.unet = std::move(unet),
                       .conditioner = std::make_unique<NoiseLevelConditioner>(std::move(prompt_conditioner),
                                                                              max_noise_level, placement.device),
                       .scheduler_config = SchedulerConfig(folder, family.scheduler_corrections),
                       .text_layers = {encoder->layer_table()}});
  auto use = std::make_unique<FromLowResolutionImage>(sizes, read_low_res_schedule(folder), max_noise_level);
  return std::make_unique<DiffusionPipeline>(folder, std::move(description), options, std::move(denoisers),
                                             load_codec(folder, family.vae_fields, placement, kScalingFactor),
                                             family.mode_defaults, std::move(use));
}

}  // namespace easel
