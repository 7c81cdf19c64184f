#include "pipelines/denoising/from_noise_or_image.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/upsample_nearest2d.h>

#include <algorithm>
#include <utility>

#include "core/text.h"
#include "easel/error.h"
#include "pipelines/images/pixels.h"
#include "tensor/upload.h"

namespace easel {

std::optional<SourceImage> encode_source(const GenerationRequest& request, const Canvas& canvas,
                                         const ImageCodec& codec, InpaintingMode inpainting,
                                         const RunContext& context) {
  if (!request.image) {
    if (request.mask) throw Error(ErrorCode::kInvalidArgument, "`mask` needs `image`", "mask");
    return std::nullopt;
  }
  validate_image(*request.image, "image");
  const auto pixels = to_tensor(resize_to_generated(*request.image, canvas));
  SourceImage source{.image = codec.encode(pixels, context), .masked_image = std::nullopt, .mask = {}};
  if (!request.mask) return source;
  validate_image(*request.mask, "mask");
  const auto mask = to_mask(resize_to_generated(*request.mask, canvas));
  if (inpainting == InpaintingMode::kModel) source.masked_image = codec.encode(pixels * (1 - mask), context);
  const auto& mean = source.image.mean;
  source.mask = at::upsample_nearest2d(mask, {mean.size(2), mean.size(3)}, std::nullopt, std::nullopt);
  return source;
}

std::int64_t skipped_steps(std::int64_t num_inference_steps, double strength) {
  if (!(strength >= 0 && strength <= 1)) {
    throw Error(ErrorCode::kInvalidArgument, concat("`strength` is ", strength, ", expected 0 to 1"), "strength");
  }
  const auto kept =
      std::min(static_cast<std::int64_t>(static_cast<double>(num_inference_steps) * strength), num_inference_steps);
  if (kept < 1) {
    throw Error(ErrorCode::kInvalidArgument,
                concat("`strength` ", strength, " of ", num_inference_steps, " steps leaves none"), "strength");
  }
  return num_inference_steps - kept;
}

void prepare_latents(DiffusionGeneration& generation, const LatentShape& shape, const SourceImage* source,
                     double strength, InpaintingMode inpainting, const ImageCodec& codec, const Placement& placement) {
  const auto& scheduler = *generation.phase().scheduler;
  const auto draw = [&] {
    return upload(generation.noise.normal({1, shape.channels, shape.height, shape.width}), placement.device,
                  placement.dtype);
  };
  if (source == nullptr) {
    generation.latents = draw() * scheduler.init_noise_sigma();
    return;
  }
  const bool masked = source->mask.defined();
  const auto sampled = [&](const DiagonalGaussianDistribution& distribution) {
    const auto noise = draw().to(distribution.mean.device(), distribution.mean.scalar_type());
    const auto latents = distribution.sample(noise).to(placement.device, placement.dtype);
    return masked ? codec.scale_masked(latents) : codec.scale(latents);
  };
  const bool from_noise = masked && strength == 1.0;
  // Every draw below happens where the reference makes one, also where its result has no use.
  at::Tensor image_latents;
  if (inpainting == InpaintingMode::kBlend || !from_noise) image_latents = sampled(source->image);
  const auto noise = draw();
  generation.latents = from_noise ? noise * scheduler.init_noise_sigma()
                                  : scheduler.add_noise(image_latents, noise, generation.step_index);
  if (!masked) return;
  const auto mask = upload(source->mask, placement.device, placement.dtype);
  if (inpainting == InpaintingMode::kModel) {
    generation.extra_channels = at::cat(at::TensorList({mask, sampled(*source->masked_image)}), 1);
  } else {
    draw();
    generation.kept = PreservedRegion{.mask = mask, .latents = image_latents, .noise = noise};
  }
}

}  // namespace easel
