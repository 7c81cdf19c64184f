#include "pipelines/families/latent_upscale.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/upsample_nearest2d.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <utility>

#include "pipelines/denoising/start_strategy.h"
#include "pipelines/families/components.h"
#include "pipelines/families/upscale_canvas.h"
#include "pipelines/families/upscale_noise.h"
#include "pipelines/images/pixels.h"
#include "pipelines/prompts/prompt_rows.h"
#include "tensor/upload.h"

namespace easel {
namespace {

// The embedding of the noise on the small image, of which there is none: ones and zeros, as many each.
constexpr std::int64_t kHalfNoiseEmbedding = 64;

/// The last state as it is, and the pooled prompt beside the timestep.
class PooledConditioner : public Conditioner {
 public:
  PooledConditioner(std::shared_ptr<PromptEncoder> encoder, double default_guidance_scale)
      : encoder_(std::move(encoder)), default_guidance_scale_(default_guidance_scale) {}

  UNetConditioning encode(const GenerationRequest& request, const Canvas&, Guidance guidance,
                          const RunContext& context) override {
    // The reference drops the prompt where its scale is 0.
    const bool drops_prompt = request.guidance_scale.value_or(default_guidance_scale_) == 0;
    auto effective_request = request;
    if (drops_prompt) effective_request.prompt.clear();
    const auto prompts = encode_prompts({&encoder_, 1}, effective_request, guidance, EmptyNegative::kEncoded, context);
    const auto pooled = concat_rows(prompts.negative.text_embeds, prompts.text.text_embeds);
    const auto rows = pooled.size(0);
    const auto options = pooled.options();
    UNetConditioning conditioning;
    conditioning.prompt_cut = prompts.cut();
    conditioning.timestep_cond = at::cat(at::TensorList({at::ones({rows, kHalfNoiseEmbedding}, options),
                                                         at::zeros({rows, kHalfNoiseEmbedding}, options), pooled}),
                                         /*dim=*/1);
    conditioning.prompt_embeds = concat_rows(prompts.negative.embeds, prompts.text.embeds);
    return conditioning;
  }

 private:
  std::shared_ptr<PromptEncoder> encoder_;
  double default_guidance_scale_;
};

class FromLowResolutionLatents : public StartStrategy {
 public:
  explicit FromLowResolutionLatents(const UpscaleSizes& sizes) : sizes_(sizes) {}

  std::int64_t extra_channels(const AutoencoderKLConfig& vae) const override { return vae.latent_channels; }

  void check(const GenerationRequest& request) const override {
    reject_image_to_image_fields(request);
    if (request.image_guidance_scale) reject_field("image_guidance_scale", "has no use in this model");
    if (request.noise_level) reject_field("noise_level", "has no use in this model");
  }

  Canvas canvas(const GenerationRequest& request, const ModelDescription&) const override {
    return upscale_canvas(request, sizes_);
  }

  bool guided(const GenerationRequest&, double guidance_scale) const override { return guidance_scale > 1.0; }

  PrepareLatents read(const GenerationRequest& request, const Canvas& canvas, bool, const ImageCodec& codec,
                      const Placement& placement, const RunContext& context) const override {
    validate_image(*request.image, "image");
    const auto source = resize_to_source(*request.image, canvas, sizes_);
    const auto grid = plan_source_tiles(source, sizes_);
    std::vector<DiagonalGaussianDistribution> images;
    for (std::size_t i = 0; i < grid.count(); ++i) {
      images.push_back(codec.encode(to_tensor(cut_tile(source, grid, i)), context));
    }
    return [this, images = std::move(images), grid = grid.scaled(sizes_.factor), placement,
            &codec](DiffusionGeneration& generation) {
      const auto cells = grid.scaled(1, sizes_.cell), small_cells = cells.scaled(1, sizes_.factor);
      const auto channels = codec.config().latent_channels;
      NoiseSource noise(generation.seed());
      const auto image_noise = noise.normal({1, channels, small_cells.height, small_cells.width});
      const auto latents =
          upload(noise.normal({1, channels, cells.height, cells.width}), placement.device, placement.dtype) *
          generation.phase().scheduler->init_noise_sigma();
      std::vector<Tile> tiles;
      for (std::size_t i = 0; i < images.size(); ++i) {
        const auto& mean = images[i].mean;
        const auto image_tile_noise = upload(cut_tile(image_noise, small_cells, i), mean.device(), mean.scalar_type());
        const auto sampled = images[i].sample(image_tile_noise);
        const auto small = codec.scale(sampled.to(placement.device, placement.dtype));  // [1, C, h / 2, w / 2]
        tiles.push_back({.noise = noise_of_tile(noise, cells, i),
                         .latents = cut_tile(latents, cells, i),
                         .extra_channels = at::upsample_nearest2d(small, {cells.tile_height, cells.tile_width},
                                                                  std::nullopt, std::nullopt)});
      }
      generation.begin_tiles(std::move(tiles), grid);
    };
  }

 private:
  UpscaleSizes sizes_;
};

/// The sizes that the UNet can draw, in the image's pixels.
UpscaleSizes sizes_of(const UNet2DConditionConfig& unet, const Family& family, const Checkpoint& folder,
                      const ModelDescription& description) {
  const auto pixels = [&](std::int64_t cells) {
    return static_cast<int>(cells) * description.cell / family.upscale_factor;
  };
  return upscale_sizes(family.upscale_factor, std::max(pixels(unet.size_multiple()), description.cell),
                       std::max(pixels(unet.min_size()), description.cell), folder.manifest.upscale_tile,
                       description.cell);
}

}  // namespace

std::unique_ptr<Pipeline> load_latent_upscale(const Family& family, const Checkpoint& folder,
                                              ModelDescription description, const PipelineOptions& options) {
  const auto& placement = options.placement;
  const auto& text = family.text_encoders[0];
  const auto encoder = load_prompt_encoder(folder, text.component, text.state, placement, options.embeddings);
  auto unet = load_unet(folder, placement);
  auto use = std::make_unique<FromLowResolutionLatents>(sizes_of(unet.config(), family, folder, description));
  std::vector<Denoiser> denoisers;
  denoisers.push_back({.unet = std::move(unet),
                       .conditioner = std::make_unique<PooledConditioner>(encoder, description.default_guidance_scale),
                       .scheduler_config = SchedulerConfig(folder, family.scheduler_corrections),
                       .text_layers = {encoder->layer_table()},
                       .noise_conditioning = NoiseConditioning::kLogSigma});
  return std::make_unique<DiffusionPipeline>(folder, std::move(description), options, std::move(denoisers),
                                             load_codec(folder, family.vae_fields, placement), family.mode_defaults,
                                             std::move(use));
}

}  // namespace easel
