#include "pipelines/families/instruct_pix2pix.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>
#include <utility>

#include "core/text.h"
#include "pipelines/denoising/start_strategy.h"
#include "pipelines/families/components.h"
#include "pipelines/families/stable_diffusion.h"
#include "pipelines/images/pixels.h"
#include "tensor/upload.h"

namespace easel {
namespace {

constexpr double kDefaultImageGuidanceScale = 1.5;

double image_guidance_scale_of(const GenerationRequest& request) {
  return request.image_guidance_scale.value_or(kDefaultImageGuidanceScale);
}

/// Rows: the prompt, then twice the negative prompt, once with the image and once without.
class InstructionConditioner : public Conditioner {
 public:
  explicit InstructionConditioner(std::unique_ptr<Conditioner> prompt_conditioner)
      : prompt_conditioner_(std::move(prompt_conditioner)) {}

  UNetConditioning encode(const GenerationRequest& request, const Canvas& canvas, Guidance guidance,
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

class FromInstruction : public StartStrategy {
 public:
  std::int64_t extra_channels(const AutoencoderKLConfig& vae) const override { return vae.latent_channels; }

  void check(const GenerationRequest& request) const override {
    reject_image_to_image_fields(request);
    if (request.noise_level) reject_field("noise_level", "has no use in this model");
    const double scale = image_guidance_scale_of(request);
    if (!(std::isfinite(scale) && scale >= 0)) {
      reject_field("image_guidance_scale", concat("is ", scale, ", expected 0 or more"));
    }
  }

  Canvas canvas(const GenerationRequest& request, const ModelDescription& model) const override {
    return plan_canvas(model, request.width.value_or(request.image->width),
                       request.height.value_or(request.image->height));
  }

  bool guided(const GenerationRequest& request, double guidance_scale) const override {
    return guidance_scale > 1.0 && image_guidance_scale_of(request) >= 1.0;
  }

  PrepareLatents read(const GenerationRequest& request, const Canvas& canvas, bool guided, const ImageCodec& codec,
                      const Placement& placement, const RunContext& context) const override {
    validate_image(*request.image, "image");
    const auto pixels = to_tensor(resize_to_generated(*request.image, canvas));
    // The reference takes the distribution's mode, and does not scale it.
    const auto latents = codec.encode(pixels, context).mean.to(placement.device, placement.dtype);
    auto channels = guided ? at::cat(at::TensorList({latents, latents, at::zeros_like(latents)})) : latents;
    return [channels = std::move(channels), shape = latents.sizes().vec(), placement,
            scale = image_guidance_scale_of(request)](DiffusionGeneration& generation) {
      generation.latents = upload(generation.noise.normal(shape), placement.device, placement.dtype) *
                           generation.phase().scheduler->init_noise_sigma();
      generation.extra_channels = channels;
      generation.image_guidance_scale = scale;
    };
  }
};

std::unique_ptr<Pipeline> load_instruct_pix2pix(const Family& family, const Checkpoint& folder,
                                                ModelDescription description, const PipelineOptions& options) {
  const auto& placement = options.placement;
  const auto& text = family.text_encoders[0];
  const auto encoder = load_prompt_encoder(folder, text.component, text.state, placement, options.embeddings);
  std::vector<Denoiser> denoisers;
  denoisers.push_back(
      {.unet = load_unet(folder, placement),
       .conditioner = std::make_unique<InstructionConditioner>(make_stable_diffusion_conditioner(encoder)),
       .scheduler_config = SchedulerConfig(folder, family.scheduler_corrections),
       .text_layers = {encoder->layer_table()}});
  return std::make_unique<DiffusionPipeline>(folder, std::move(description), options, std::move(denoisers),
                                             load_codec(folder, family.vae_fields, placement), family.mode_defaults,
                                             std::make_unique<FromInstruction>());
}

}  // namespace

const std::vector<Family>& instruct_pix2pix_families() {
  static const std::vector<Family> families = {
      {.class_name = "StableDiffusionInstructPix2PixPipeline",
       .name = "instruct-pix2pix",
       .text_encoders = {{Component::kTextEncoder, "CLIPTextModel", PromptState::kLastNormed}},
       .scheduler_corrections = SchedulerCorrections::kNone,
       .vae_fields = VaeFields::kScalingFactor,
       .default_guidance_scale = 7.5,
       .default_strength = 1.0,
       .default_steps = 100,
       .guided_rows = 3,
       .needs_image = true,
       .image_conditioned = true,
       .load = &load_instruct_pix2pix}};
  return families;
}

}  // namespace easel
