#include "pipelines/starts/from_kontext_image.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/upsample_nearest2d.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "core/text.h"
#include "image/pillow_resize.h"
#include "pipelines/denoising/guidance.h"
#include "pipelines/denoising/request_fields.h"
#include "pipelines/images/pixels.h"
#include "tensor/upload.h"

namespace easel {
namespace {

/// The sizes that Kontext was trained on, from narrow to wide.
constexpr std::pair<int, int> kKontextSizes[] = {{672, 1568}, {688, 1504}, {720, 1456}, {752, 1392},  {800, 1328},
                                                 {832, 1248}, {880, 1184}, {944, 1104}, {1024, 1024}, {1104, 944},
                                                 {1184, 880}, {1248, 832}, {1328, 800}, {1392, 752},  {1456, 720},
                                                 {1504, 688}, {1568, 672}};

/// The image that a request changes, encoded.
struct KontextImage {
  at::Tensor latents;    ///< [1, C, h, w]
  at::Tensor mask;       ///< [1, 1, h, w]: 1 where to redraw; undefined without a mask
  at::Tensor reference;  ///< [1, C, h', w']: what the model sees: the image, or in its place the request's second one
};

class KontextStart : public RequestStart {
 public:
  /// @param shape  of the noise
  KontextStart(std::vector<std::int64_t> shape, const Placement& placement, std::optional<KontextImage> image)
      : shape_(std::move(shape)), placement_(placement), image_(std::move(image)) {}

  void begin(DiffusionGeneration& generation) const override {
    const auto& scheduler = *generation.phase().scheduler;
    const auto noise = draw(generation);
    if (image_ && image_->mask.defined()) {
      generation.latents = scheduler.add_noise(image_->latents, noise, generation.step_index);
      generation.kept = PreservedRegion{.mask = image_->mask, .latents = image_->latents, .noise = noise};
      draw(generation);  // as the reference does for the masked image, which it does not use
    } else {
      generation.latents = noise * scheduler.init_noise_sigma();
    }
    if (!image_) return;
    for (auto& phase : generation.phases) {
      const auto rows = phase.conditioning.prompt_embeds.size(0);
      phase.conditioning.references = {image_->reference.expand({rows, -1, -1, -1})};
    }
  }

 private:
  at::Tensor draw(DiffusionGeneration& generation) const {
    return upload(generation.noise.normal(shape_), placement_.device, placement_.dtype);
  }

  std::vector<std::int64_t> shape_;
  Placement placement_;
  std::optional<KontextImage> image_;
};

/// The image in the size that follows from its own, encoded: [1, C, h, w].
at::Tensor encode_image(const Image& image, const StartInput& input, int cell) {
  const auto [width, height] = kontext_size(image, cell);
  const auto pixels = to_tensor(pillow_resize(image, width, height, PillowFilter::kLanczos));
  // The most probable latents: nothing is drawn for them.
  const auto mode = input.codec.encode(pixels, input.context).mean;
  return input.codec.scale(mode).to(input.placement.device, input.placement.dtype);
}

KontextImage read_images(const StartInput& input, int cell) {
  const auto& request = input.request;
  KontextImage image{.latents = encode_image(*request.image, input, cell), .mask = {}, .reference = {}};
  image.reference =
      request.more_images.empty() ? image.latents : encode_image(*request.more_images.front(), input, cell);
  if (!request.mask) return image;
  const auto mask = to_mask(resize_to_generated(*request.mask, input.canvas));
  const auto of_cells =
      at::upsample_nearest2d(mask, {image.latents.size(2), image.latents.size(3)}, std::nullopt, std::nullopt);
  image.mask = upload(of_cells, input.placement.device, input.placement.dtype);
  return image;
}

void check_image(const Image& image, int cell) {
  validate_image(image, "image");
  if (std::min(image.width, image.height) < cell) {
    reject_field("image", concat("is ", image.width, "x", image.height, " pixels; this model needs at least ", cell,
                                 " along each edge"));
  }
}

}  // namespace

std::pair<int, int> kontext_size(const Image& image, int cell) {
  const auto ratio = [](int width, int height) { return static_cast<double>(width) / height; };
  const double own = ratio(image.width / cell * cell, image.height / cell * cell);
  std::pair<int, int> nearest;
  double least = std::numeric_limits<double>::infinity();
  for (const auto& [width, height] : kKontextSizes) {
    const double apart = std::abs(own - ratio(width, height));
    if (apart < least) {
      least = apart;
      nearest = {width / cell * cell, height / cell * cell};
    }
  }
  return nearest;
}

FromKontextImage::FromKontextImage(ModelDescription model, std::int64_t latent_channels)
    : model_(std::move(model)), latent_channels_(latent_channels) {}

void FromKontextImage::check(const GenerationRequest& request) const {
  if (request.mask && !request.image) reject_field("mask", "needs `image`");
  if (request.strength && !request.mask) reject_field("strength", "needs `mask` in this model");
  if (request.mask) validate_image(*request.mask, "mask");
  if (!request.image) return;
  check_image(*request.image, model_.cell);
  for (const auto& image : request.more_images) check_image(*image, model_.cell);
  const std::size_t most = request.mask ? 1 : 0;
  if (request.more_images.size() > most) {
    reject_field("image", concat("was sent ", request.more_images.size() + 1, " times; this model takes ", most + 1,
                                 request.mask ? " with" : " without", " a mask"));
  }
}

Canvas FromKontextImage::canvas(const GenerationRequest& request) const {
  if (!request.mask) {
    return plan_canvas(model_, request.width.value_or(model_.native_width),
                       request.height.value_or(model_.native_height));
  }
  const auto [width, height] = kontext_size(*request.image, model_.cell);
  return plan_canvas(model_, width, height);
}

Guidance FromKontextImage::guidance(const GenerationRequest&, double guidance_scale, const DenoisingModel&) const {
  return needs_unconditional_row(GuidanceRule::kTrueCfg, guidance_scale) ? Guidance::kOn : Guidance::kOff;
}

std::size_t FromKontextImage::first_step(const GenerationRequest& request, const Scheduler& scheduler) const {
  if (!request.mask) return 0;
  const auto evaluations = static_cast<std::int64_t>(scheduler.timesteps().size());
  const bool own_list = !request.timesteps.empty() || !request.sigmas.empty();
  const auto steps = own_list ? evaluations : request.num_inference_steps.value_or(model_.default_steps);
  const double strength = request.strength.value_or(model_.default_strength);
  return static_cast<std::size_t>(skipped_steps(steps, strength, StrengthRounding::kStepsSkipped) * scheduler.order());
}

std::unique_ptr<const RequestStart> FromKontextImage::read(const StartInput& input) const {
  std::optional<KontextImage> image;
  if (input.request.image) image = read_images(input, model_.cell);
  const auto cell = input.codec.config().scale();
  return std::make_unique<KontextStart>(
      std::vector<std::int64_t>{1, latent_channels_, input.canvas.generated_height / cell,
                                input.canvas.generated_width / cell},
      input.placement, std::move(image));
}

}  // namespace easel
