#include "pipelines/starts/from_references.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/upsample_bilinear2d.h>

#include <algorithm>
#include <utility>

#include "core/text.h"
#include "pipelines/denoising/guidance.h"
#include "pipelines/denoising/request_fields.h"
#include "pipelines/images/pixels.h"
#include "pipelines/images/reference_images.h"
#include "tensor/upload.h"

namespace easel {
namespace {

constexpr std::int64_t kLargestReference = 1024 * 1024;  // pixels
constexpr int kSmallestReferenceEdge = 64;
constexpr int kLargestReferenceRatio = 8;

int whole_cells(int edge, int cell) {
  return edge / cell * cell;
}

/// Width and height of an image after it was reduced to a megapixel and rounded down to whole cells.
std::pair<int, int> own_size(const Image& image, int cell) {
  const auto [width, height] = size_within_area(image.width, image.height, kLargestReference);
  return {whole_cells(width, cell), whole_cells(height, cell)};
}

void check_reference(const Image& image) {
  const auto size = concat(image.width, "x", image.height);
  if (std::min(image.width, image.height) < kSmallestReferenceEdge) {
    reject_field("image", concat("is ", size, " pixels; this model needs at least ", kSmallestReferenceEdge,
                                 " along each edge"));
  }
  const auto [shorter, longer] = std::minmax(image.width, image.height);
  if (longer > kLargestReferenceRatio * shorter) {
    reject_field("image", concat("is ", size, " pixels; this model needs an image whose longer edge is at most ",
                                 kLargestReferenceRatio, " times its shorter one"));
  }
}

/// The images that are references and nothing else: all of them, or with a mask those after the first.
std::vector<std::shared_ptr<const Image>> references_of(const GenerationRequest& request) {
  std::vector<std::shared_ptr<const Image>> images;
  if (request.image && !request.mask) images.push_back(request.image);
  images.insert(images.end(), request.more_images.begin(), request.more_images.end());
  return images;
}

std::vector<Image> prepared_references(const GenerationRequest& request, int cell) {
  const auto images = references_of(request);
  const auto sizes = reference_sizes(request, cell);
  // In the reference, several images along with an image to change are one batch, which is not reduced.
  const bool as_batch = request.mask && images.size() > 1;
  std::vector<Image> prepared;
  for (std::size_t i = 0; i < images.size(); ++i) {
    const auto& [width, height] = sizes[i];
    prepared.push_back(
        crop_or_extend(as_batch ? *images[i] : within_area(*images[i], kLargestReference), width, height));
  }
  return prepared;
}

/// What the images of a request start from: noise, or the image under noise.
class ReferenceStart : public RequestStart {
 public:
  /// @param references  [1, C, h, w] each
  /// @param kept        without its noise; none without a mask
  ReferenceStart(std::vector<std::int64_t> shape, const Placement& placement, std::vector<at::Tensor> references,
                 std::optional<PreservedRegion> kept)
      : shape_(std::move(shape)), placement_(placement), references_(std::move(references)), kept_(std::move(kept)) {}

  void begin(DiffusionGeneration& generation) const override {
    const auto& scheduler = *generation.phase().scheduler;
    const auto noise = upload(generation.noise.normal(shape_), placement_.device, placement_.dtype);
    generation.latents = kept_ ? scheduler.add_noise(kept_->latents, noise, generation.step_index)
                               : noise * scheduler.init_noise_sigma();
    if (kept_) generation.kept = PreservedRegion{.mask = kept_->mask, .latents = kept_->latents, .noise = noise};
    for (auto& phase : generation.phases) {
      auto& conditioning = phase.conditioning;
      for (const auto& reference : references_) {
        conditioning.references.push_back(reference.expand({conditioning.prompt_embeds.size(0), -1, -1, -1}));
      }
    }
  }

 private:
  std::vector<std::int64_t> shape_;
  Placement placement_;
  std::vector<at::Tensor> references_;
  std::optional<PreservedRegion> kept_;
};

/// The mode of an image's latents, which nothing is drawn for.
at::Tensor latents_of_image(const Image& image, const StartInput& input) {
  const auto mode = input.codec.encode(to_tensor(image), input.context).mean;
  return input.codec.scale(mode).to(input.placement.device, input.placement.dtype);
}

}  // namespace

std::vector<std::pair<int, int>> reference_sizes(const GenerationRequest& request, int cell) {
  const auto images = references_of(request);
  std::vector<std::pair<int, int>> sizes;
  for (const auto& image : images) sizes.push_back(own_size(*image, cell));
  if (request.mask && images.size() > 1) {
    const std::pair first{whole_cells(images[0]->width, cell), whole_cells(images[0]->height, cell)};
    std::fill(sizes.begin(), sizes.end(), first);
  }
  return sizes;
}

FromReferences::FromReferences(ModelDescription model, const Settings& settings)
    : model_(std::move(model)), settings_(settings) {}

void check_references(const GenerationRequest& request, int cell) {
  if (request.image) validate_image(*request.image, "image");
  for (const auto& image : request.more_images) validate_image(*image, "image");
  for (const auto& image : references_of(request)) check_reference(*image);
  if (!request.mask || !request.image) return;
  const auto [width, height] = own_size(*request.image, cell);
  if (std::min(width, height) > 0) return;
  reject_field("image", concat("is ", request.image->width, "x", request.image->height,
                               " pixels; this model needs at least ", cell, " along each edge"));
}

void FromReferences::check(const GenerationRequest& request) const {
  if (request.mask && !request.image) reject_field("mask", "needs `image`");
  if (request.strength && !request.mask) reject_field("strength", "needs `mask` in this model");
  if (request.mask) validate_image(*request.mask, "mask");
  check_references(request, model_.cell);
}

std::pair<int, int> result_size(const GenerationRequest& request, const ModelDescription& model) {
  if (request.image && (request.mask || !request.width)) return own_size(*request.image, model.cell);
  return model.output_size(request.width.value_or(model.native_width), request.height.value_or(model.native_height));
}

Canvas FromReferences::canvas(const GenerationRequest& request) const {
  const auto [width, height] = result_size(request, model_);
  return plan_canvas(model_, width, height);
}

Guidance FromReferences::guidance(const GenerationRequest&, double guidance_scale, const DenoisingModel&) const {
  const bool guides = settings_.guides && needs_unconditional_row(GuidanceRule::kFromUnconditional, guidance_scale);
  return guides ? Guidance::kOn : Guidance::kOff;
}

double FromReferences::strength(const GenerationRequest& request) const {
  return request.strength.value_or(settings_.inpainting_strength);
}

std::size_t FromReferences::first_step(const GenerationRequest& request, const Scheduler& scheduler) const {
  if (!request.mask) return 0;
  const auto evaluations = static_cast<std::int64_t>(scheduler.timesteps().size());
  const bool own_list = !request.timesteps.empty() || !request.sigmas.empty();
  const auto steps = own_list ? evaluations : request.num_inference_steps.value_or(model_.default_steps);
  return static_cast<std::size_t>(skipped_steps(steps, strength(request), StrengthRounding::kStepsSkipped) *
                                  scheduler.order());
}

std::unique_ptr<const RequestStart> FromReferences::read(const StartInput& input) const {
  const auto& request = input.request;
  const auto height = input.canvas.generated_height / model_.cell, width = input.canvas.generated_width / model_.cell;
  std::optional<PreservedRegion> kept;
  std::vector<at::Tensor> references;
  if (request.mask) {
    const auto image = resize_to_generated(within_area(*request.image, kLargestReference), input.canvas);
    const auto mask = to_mask(resize_to_generated(*request.mask, input.canvas));
    const auto of_cells =
        at::upsample_bilinear2d(mask, {height, width}, /*align_corners=*/false, std::nullopt, std::nullopt);
    kept = PreservedRegion{.mask = upload(of_cells, input.placement.device, input.placement.dtype),
                           .latents = latents_of_image(image, input),
                           .noise = {}};
    references.push_back(kept->latents);
  }
  for (const auto& image : prepared_references(request, model_.cell)) {
    references.push_back(latents_of_image(image, input));
  }
  return std::make_unique<ReferenceStart>(std::vector<std::int64_t>{1, settings_.latent_channels, height, width},
                                          input.placement, std::move(references), std::move(kept));
}

}  // namespace easel
