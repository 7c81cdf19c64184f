#include "pipelines/denoising/from_noise_or_image.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/upsample_nearest2d.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "core/text.h"
#include "easel/error.h"
#include "models/autoencoders/autoencoder_kl.h"
#include "pipelines/denoising/request_fields.h"
#include "pipelines/images/kept_pixels.h"
#include "pipelines/images/pixels.h"
#include "tensor/upload.h"

namespace easel {
namespace {

/// Noise in the shape of the latents, from a generation's own source.
struct LatentNoise {
  std::int64_t channels, height, width;
  Placement placement;  ///< of the denoising model

  at::Tensor draw(DiffusionGeneration& generation) const {
    return upload(generation.noise.normal({1, channels, height, width}), placement.device, placement.dtype);
  }
};

class NoiseStart : public RequestStart {
 public:
  explicit NoiseStart(const LatentNoise& noise) : noise_(noise) {}

  void begin(DiffusionGeneration& generation) const override {
    generation.latents = noise_.draw(generation) * generation.phase().scheduler->init_noise_sigma();
  }

 private:
  LatentNoise noise_;
};

/// Starts from latents under noise. As in the reference, they are not scaled again.
class LatentStart : public RequestStart {
 public:
  LatentStart(at::Tensor latents, const LatentNoise& noise) : latents_(std::move(latents)), noise_(noise) {}

  void begin(DiffusionGeneration& generation) const override {
    generation.latents =
        generation.phase().scheduler->add_noise(latents_, noise_.draw(generation), generation.step_index);
  }

 private:
  at::Tensor latents_;
  LatentNoise noise_;
};

/// A request's image and mask after encoding.
struct SourceImage {
  DiagonalGaussianDistribution image;                        ///< of the latents, unscaled
  std::optional<DiagonalGaussianDistribution> masked_image;  ///< of kModel: without the part that is to be redrawn
  at::Tensor mask;  ///< float32 [1, 1, h, w] of 0 and 1, 1 where to redraw; undefined without a mask
  std::shared_ptr<const KeptPixels> kept_pixels;  ///< null: none
};

SourceImage encode_source(const StartInput& input, InpaintingMode inpainting) {
  const auto resampled = read_source_pixels(input.request, input.canvas);
  const auto pixels = to_tensor(resampled.image);
  SourceImage source{.image = input.codec.encode(pixels, input.context),
                     .masked_image = std::nullopt,
                     .mask = {},
                     .kept_pixels = resampled.kept};
  if (!resampled.mask) return source;
  const auto mask = to_mask(*resampled.mask);
  if (inpainting == InpaintingMode::kModel) {
    source.masked_image = input.codec.encode(pixels * (1 - mask), input.context);
  }
  const auto& mean = source.image.mean;
  source.mask = at::upsample_nearest2d(mask, {mean.size(2), mean.size(3)}, std::nullopt, std::nullopt);
  return source;
}

class ImageStart : public RequestStart {
 public:
  ImageStart(SourceImage source, double strength, InpaintingMode inpainting, const LatentNoise& noise,
             const ImageCodec& codec)
      : source_(std::move(source)), strength_(strength), inpainting_(inpainting), noise_(noise), codec_(codec) {}

  void begin(DiffusionGeneration& generation) const override {
    generation.kept_pixels = source_.kept_pixels;
    const auto& scheduler = *generation.phase().scheduler;
    const bool masked = source_.mask.defined();
    const bool from_noise = masked && strength_ == 1.0;
    // Every draw happens where the reference draws, even if nothing uses the result.
    at::Tensor image_latents;
    if (inpainting_ == InpaintingMode::kBlend || !from_noise) image_latents = sample(generation, source_.image);
    const auto noise = noise_.draw(generation);
    generation.latents = from_noise ? noise * scheduler.init_noise_sigma()
                                    : scheduler.add_noise(image_latents, noise, generation.step_index);
    if (!masked) return;
    generation.masking = Masking::kMasked;
    const auto mask = upload(source_.mask, noise_.placement.device, noise_.placement.dtype);
    if (inpainting_ == InpaintingMode::kModel) {
      generation.extra_channels = at::cat(at::TensorList({mask, sample(generation, *source_.masked_image)}), 1);
    } else {
      noise_.draw(generation);
      generation.kept = PreservedRegion{.mask = mask, .latents = image_latents, .noise = noise};
    }
  }

 private:
  at::Tensor sample(DiffusionGeneration& generation, const DiagonalGaussianDistribution& distribution) const {
    const auto& mean = distribution.mean;
    const auto sampled = distribution.is_random()
                             ? distribution.sample(noise_.draw(generation).to(mean.device(), mean.scalar_type()))
                             : mean;
    const auto latents = sampled.to(noise_.placement.device, noise_.placement.dtype);
    return source_.mask.defined() ? codec_.scale_masked(latents) : codec_.scale(latents);
  }

  SourceImage source_;
  double strength_;
  InpaintingMode inpainting_;
  LatentNoise noise_;
  const ImageCodec& codec_;
};

}  // namespace

std::int64_t skipped_steps(std::int64_t num_inference_steps, double strength, StrengthRounding rounding) {
  if (!(strength >= 0 && strength <= 1)) {
    throw Error(ErrorCode::kInvalidArgument, concat("`strength` is ", strength, ", expected 0 to 1"), "strength");
  }
  const double steps = static_cast<double>(num_inference_steps), done = steps * strength;
  const auto kept = rounding == StrengthRounding::kStepsDone
                        ? std::min(static_cast<std::int64_t>(done), num_inference_steps)
                        : num_inference_steps - static_cast<std::int64_t>(std::max(steps - std::min(done, steps), 0.0));
  if (kept < 1) {
    throw Error(ErrorCode::kInvalidArgument,
                concat("`strength` ", strength, " of ", num_inference_steps, " steps leaves none"), "strength");
  }
  return num_inference_steps - kept;
}

FromNoiseOrImage::FromNoiseOrImage(ModelDescription model, const Settings& settings)
    : model_(std::move(model)), settings_(settings) {}

void FromNoiseOrImage::check(const GenerationRequest& request) const {
  if (request.strength && !request.image) reject_field("strength", "needs `image`");
  if (request.mask && !request.image) reject_field("mask", "needs `image`");
}

Canvas FromNoiseOrImage::canvas(const GenerationRequest& request) const {
  // With padding_mask_crop, the size is that of the part that is drawn, not of the image.
  const auto& image = request.padding_mask_crop ? nullptr : request.image;
  return settings_.plan_canvas(model_, request.width.value_or(image ? image->width : model_.native_width),
                               request.height.value_or(image ? image->height : model_.native_height));
}

Guidance FromNoiseOrImage::guidance(const GenerationRequest&, double guidance_scale,
                                    const DenoisingModel& model) const {
  const bool guides = needs_unconditional_row(settings_.guidance_rule, guidance_scale);
  const bool in_model = model.takes_guidance_scale() && settings_.guidance_rule != GuidanceRule::kTrueCfg;
  return guides && !in_model ? Guidance::kOn : Guidance::kOff;
}

double FromNoiseOrImage::strength(const GenerationRequest& request) const {
  return request.strength.value_or(request.mask ? settings_.inpainting_strength : model_.default_strength);
}

double FromNoiseOrImage::scheduler_strength(const GenerationRequest& request) const {
  const bool applies = settings_.scheduler_takes_strength && request.image && !request.mask;
  return applies ? strength(request) : 1.0;
}

std::size_t FromNoiseOrImage::first_step(const GenerationRequest& request, const Scheduler& scheduler) const {
  if (!request.image || scheduler.applies_strength()) return 0;
  const auto evaluations = scheduler.timesteps().size();
  // As in diffusers, every model evaluation counts as an inference step where the request lists timesteps or sigmas. So
  // a second-order scheduler then skips twice as many.
  const bool own_list = !request.timesteps.empty() || !request.sigmas.empty();
  const auto steps =
      own_list ? static_cast<std::int64_t>(evaluations) : request.num_inference_steps.value_or(model_.default_steps);
  const auto first = static_cast<std::size_t>(skipped_steps(steps, strength(request), settings_.strength_rounding) *
                                              scheduler.order());
  if (first < evaluations) return first;
  throw Error(ErrorCode::kInvalidArgument,
              concat("`strength` ", strength(request), " of ", evaluations, " model evaluations leaves none"),
              "strength");
}

std::unique_ptr<const RequestStart> FromNoiseOrImage::read(const StartInput& input) const {
  const auto& request = input.request;
  const LatentNoise noise{.channels = settings_.latent_channels,
                          .height = input.canvas.generated_height / model_.cell * settings_.latent_cells,
                          .width = input.canvas.generated_width / model_.cell * settings_.latent_cells,
                          .placement = input.placement};
  if (input.image_latents.defined()) return std::make_unique<LatentStart>(input.image_latents, noise);
  if (!request.image) return std::make_unique<NoiseStart>(noise);
  return std::make_unique<ImageStart>(encode_source(input, settings_.inpainting), strength(request),
                                      settings_.inpainting, noise, input.codec);
}

}  // namespace easel
