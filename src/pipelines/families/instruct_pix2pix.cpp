// Family::load of InstructPix2Pix.
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>
#include <utility>

#include "core/text.h"
#include "pipelines/families/pipeline_builder.h"
#include "pipelines/images/pixels.h"
#include "pipelines/prompts/prompt_rows.h"
#include "tensor/upload.h"

namespace easel {
namespace {

constexpr double kDefaultImageGuidanceScale = 1.5;

double image_guidance_scale_of(const GenerationRequest& request) {
  return request.image_guidance_scale.value_or(kDefaultImageGuidanceScale);
}

/// Rows: the prompt, then the negative prompt twice, once for the row with the image and once for the row without it.
class InstructionConditioner : public Conditioner {
 public:
  explicit InstructionConditioner(std::unique_ptr<Conditioner> prompt_conditioner)
      : prompt_conditioner_(std::move(prompt_conditioner)) {}

  DenoiserConditioning encode(const GenerationRequest& request, const Canvas& canvas, Guidance guidance,
                              const RunContext& context) override {
    auto conditioning = prompt_conditioner_->encode(request, canvas, guidance, context);
    if (guidance == Guidance::kOn) {
      const auto& both = conditioning.prompt_embeds;
      const auto negative = both.narrow(0, 0, 1), text = both.narrow(0, 1, 1);
      conditioning.prompt_embeds = at::cat(at::TensorList({text, negative, negative}));
    }
    return conditioning;
  }

 private:
  std::unique_ptr<Conditioner> prompt_conditioner_;
};

class InstructionStart : public RequestStart {
 public:
  /// @param image_latents  [1, C, h, w]
  InstructionStart(const at::Tensor& image_latents, Guidance guidance, double image_guidance_scale,
                   const Placement& placement)
      : shape_(image_latents.sizes().vec()), placement_(placement), image_guidance_scale_(image_guidance_scale) {
    extra_channels_ = guidance == Guidance::kOn
                          ? at::cat(at::TensorList({image_latents, image_latents, at::zeros_like(image_latents)}))
                          : image_latents;
  }

  void begin(DiffusionGeneration& generation) const override {
    generation.latents = upload(generation.noise.normal(shape_), placement_.device, placement_.dtype) *
                         generation.phase().scheduler->init_noise_sigma();
    generation.extra_channels = extra_channels_;
    generation.image_guidance_scale = image_guidance_scale_;
  }

 private:
  std::vector<std::int64_t> shape_;
  Placement placement_;
  double image_guidance_scale_;
  at::Tensor extra_channels_;
};

/// Starts from noise; the image's latents are further channels of the model's input.
class FromInstruction : public StartStrategy {
 public:
  explicit FromInstruction(ModelDescription model) : model_(std::move(model)) {}

  void check(const GenerationRequest& request) const override {
    const double scale = image_guidance_scale_of(request);
    if (!(std::isfinite(scale) && scale >= 0)) {
      reject_field("image_guidance_scale", concat("is ", scale, ", expected 0 or more"));
    }
  }

  Canvas canvas(const GenerationRequest& request) const override {
    return plan_canvas(model_, request.width.value_or(request.image->width),
                       request.height.value_or(request.image->height));
  }

  Guidance guidance(const GenerationRequest& request, double guidance_scale, const DenoisingModel&) const override {
    return guidance_scale > 1.0 && image_guidance_scale_of(request) >= 1.0 ? Guidance::kOn : Guidance::kOff;
  }

  std::unique_ptr<const RequestStart> read(const StartInput& input) const override {
    const auto& image = *input.request.image;
    validate_image(image, "image");
    const auto pixels = to_tensor(resize_to_generated(image, input.canvas));
    // The reference takes the distribution's mode and does not scale it.
    const auto latents =
        input.codec.encode(pixels, input.context).mean.to(input.placement.device, input.placement.dtype);
    return std::make_unique<InstructionStart>(latents, input.guidance, image_guidance_scale_of(input.request),
                                              input.placement);
  }

 private:
  ModelDescription model_;
};

}  // namespace

std::unique_ptr<Pipeline> load_instruct_pix2pix(PipelineBuilder& builder) {
  auto prompt_conditioner = make_prompt_conditioner(builder.text_encoders()[0]);
  builder.add_unet(builder.folder(), std::make_unique<InstructionConditioner>(std::move(prompt_conditioner)));
  return builder.build(std::make_unique<FromInstruction>(builder.description()),
                       /*extra_channels=*/builder.latent_channels());
}

}  // namespace easel
