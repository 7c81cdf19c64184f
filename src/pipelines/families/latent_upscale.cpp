#include "pipelines/families/latent_upscale.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/upsample_nearest2d.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <utility>

#include "pipelines/denoising/picture_use.h"
#include "pipelines/families/components.h"
#include "pipelines/families/upscale_canvas.h"
#include "pipelines/families/upscale_noise.h"
#include "pipelines/images/picture_pixels.h"
#include "pipelines/prompts/prompt_rows.h"
#include "tensor/upload.h"

namespace easel {
namespace {

// The embedding of the noise on the small picture, of which there is none: ones and zeros, as many each.
constexpr std::int64_t kHalfNoiseEmbedding = 64;

/// The last state as it is, and the pooled prompt beside the timestep.
class PooledConditioner : public Conditioner {
 public:
  PooledConditioner(std::shared_ptr<PromptEncoder> encoder, double default_guidance_scale)
      : encoder_(std::move(encoder)), default_guidance_scale_(default_guidance_scale) {}

  Conditions encode(const GenerationRequest& request, const Canvas&, Guidance guidance,
                    const RunContext& context) override {
    // The reference drops the prompt where its scale is 0.
    const bool wordless = request.guidance_scale.value_or(default_guidance_scale_) == 0;
    auto said = request;
    if (wordless) said.prompt.clear();
    const auto prompts = encode_prompts({&encoder_, 1}, said, guidance, EmptyNegative::kEncoded, context);
    const auto pooled = below_each_other(prompts.negative.text_embeds, prompts.text.text_embeds);
    const auto rows = pooled.size(0);
    const auto options = pooled.options();
    Conditions conditions;
    conditions.prompt_cut = prompts.cut();
    conditions.timestep_cond = at::cat(at::TensorList({at::ones({rows, kHalfNoiseEmbedding}, options),
                                                       at::zeros({rows, kHalfNoiseEmbedding}, options), pooled}),
                                       /*dim=*/1);
    conditions.prompt_embeds = below_each_other(prompts.negative.embeds, prompts.text.embeds);
    return conditions;
  }

 private:
  std::shared_ptr<PromptEncoder> encoder_;
  double default_guidance_scale_;
};

class PictureLatents : public PictureUse {
 public:
  explicit PictureLatents(const UpscaleSizes& sizes) : sizes_(sizes) {}

  std::int64_t extra_channels(const AutoencoderKLConfig& vae) const override { return vae.latent_channels; }

  void check(const GenerationRequest& request) const override {
    refuse_fields_of_starting_pictures(request);
    if (request.image_guidance_scale) refuse_field("image_guidance_scale", "has no use in this model");
    if (request.noise_level) refuse_field("noise_level", "has no use in this model");
  }

  Canvas canvas(const GenerationRequest& request, const ModelDescription&) const override {
    return upscale_canvas(request, sizes_);
  }

  bool guided(const GenerationRequest&, double guidance_scale) const override { return guidance_scale > 1.0; }

  BeginLatents read(const GenerationRequest& request, const Canvas& canvas, bool, const PictureCodec& codec,
                    const Placement& placement, const RunContext& context) const override {
    check_picture(*request.image, "image");
    const auto source = at_source_size(*request.image, canvas, sizes_);
    const auto grid = plan_source_tiles(source, sizes_);
    std::vector<DiagonalGaussianDistribution> pictures;
    for (std::size_t i = 0; i < grid.count(); ++i) {
      pictures.push_back(codec.encode(to_tensor(cut_tile(source, grid, i)), context));
    }
    return [this, pictures = std::move(pictures), grid = grid.scaled(sizes_.factor), placement,
            &codec](DiffusionGeneration& generation) {
      const auto cells = grid.scaled(1, sizes_.cell), small_cells = cells.scaled(1, sizes_.factor);
      const auto channels = codec.config().latent_channels;
      NoiseSource noise(generation.seed());
      const auto of_pictures = noise.normal({1, channels, small_cells.height, small_cells.width});
      const auto latents =
          upload(noise.normal({1, channels, cells.height, cells.width}), placement.device, placement.dtype) *
          generation.phase().scheduler->init_noise_sigma();
      std::vector<Tile> tiles;
      for (std::size_t i = 0; i < pictures.size(); ++i) {
        const auto& mean = pictures[i].mean;
        const auto picture_noise = upload(cut_tile(of_pictures, small_cells, i), mean.device(), mean.scalar_type());
        const auto sampled = pictures[i].sample(picture_noise);
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

/// The sizes that the UNet can draw, in the picture's pixels.
UpscaleSizes sizes_of(const UNet2DConditionConfig& unet, const Family& family, const CheckpointFolder& folder,
                      const ModelDescription& description) {
  const auto pixels = [&](std::int64_t cells) {
    return static_cast<int>(cells) * description.cell / family.upscale_factor;
  };
  return upscale_sizes(family.upscale_factor, std::max(pixels(unet.size_multiple()), description.cell),
                       std::max(pixels(unet.least_size()), description.cell), folder.manifest.upscale_tile,
                       description.cell);
}

}  // namespace

std::unique_ptr<Pipeline> load_latent_upscale(const Family& family, const CheckpointFolder& folder,
                                              ModelDescription description, const PipelineOptions& options) {
  const auto& placement = options.placement;
  const auto& text = family.text_encoders[0];
  const auto encoder = load_prompt_encoder(folder, text.suffix, text.state, placement, options.embeddings);
  auto unet = load_unet(folder, placement);
  auto use = std::make_unique<PictureLatents>(sizes_of(unet.config(), family, folder, description));
  std::vector<Denoiser> denoisers;
  denoisers.push_back({.unet = std::move(unet),
                       .conditioner = std::make_unique<PooledConditioner>(encoder, description.default_guidance_scale),
                       .scheduler_config = SchedulerConfig(folder, family.scheduler_corrections),
                       .text_layers = {encoder->layer_table()},
                       .told = NoiseTold::kLogSigma});
  return std::make_unique<DiffusionPipeline>(folder, std::move(description), options, std::move(denoisers),
                                             load_codec(folder, family.vae_fields, placement), family.mode_defaults,
                                             std::move(use));
}

}  // namespace easel
