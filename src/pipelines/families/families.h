// The families of checkpoints that easel runs: one row for each `_class_name` of model_index.json.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "checkpoints/checkpoint.h"
#include "core/component.h"
#include "core/config.h"
#include "easel/pipeline.h"
#include "models/memory/activation_memory.h"
#include "pipelines/denoising/denoiser.h"
#include "pipelines/denoising/from_noise_or_image.h"
#include "pipelines/denoising/guidance.h"
#include "pipelines/denoising/request_fields.h"
#include "pipelines/denoising/scheduler_config.h"
#include "pipelines/images/canvas.h"
#include "pipelines/images/image_codec.h"
#include "pipelines/prompts/prompt_encoder.h"
#include "tensor/placement.h"

namespace easel {

class PipelineBuilder;
struct PipelineOptions;
struct LatentSize;  // models/memory/activation_memory.h

/// The bytes that one call of a denoising model takes in addition to its weights.
using StepEstimate = std::function<std::int64_t(const LatentSize&, const Placement&)>;

/// That of a UNet. @param denoiser  its config
StepEstimate unet_step_estimate(Config& denoiser);
StepEstimate z_image_step_estimate(Config& denoiser);
StepEstimate flux_step_estimate(Config& denoiser);
StepEstimate flux_kontext_step_estimate(Config& denoiser);
StepEstimate sd3_step_estimate(Config& denoiser);
StepEstimate pixart_step_estimate(Config& denoiser);
StepEstimate flux2_step_estimate(Config& denoiser);

enum class TextEncoderKind { kClip, kQwen3, kT5 };

/// A text encoder that a family's checkpoints have, together with its tokenizer.
struct TextEncoderSpec {
  Component component;
  const char* class_name;      ///< in model_index.json
  PromptState state;           ///< of kClip
  bool may_be_absent = false;  ///< null in some of the family's checkpoints
  TextEncoderKind kind = TextEncoderKind::kClip;
  const char* other_class_name = nullptr;         ///< another class with the same tensors
  const char* tokenizer_class = "CLIPTokenizer";  ///< with or without "Fast" at the end
};

/// Family::plan_canvas of models that generate at any size: easel::plan_canvas.
Canvas plan_any_canvas(const ModelDescription& model, Config denoiser, int width, int height);

/// What is common to the checkpoints of one `_class_name`. Numbers are those of that pipeline in diffusers.
struct Family {
  const char* class_name;
  const char* name;  ///< ModelDescription::family
  std::span<const TextEncoderSpec> text_encoders;
  Component denoising_model = Component::kUnet;
  const char* denoising_model_class = "UNet2DConditionModel";
  const char* other_denoising_model_class = nullptr;  ///< another class of diffusers with the same tensors
  /// Reads the denoising model's config. @throws Error(kCorruptData, kUnsupported)  names the field
  StepEstimate (*step_estimate)(Config& denoiser) = &unet_step_estimate;
  int patch_size = 1;  ///< latent cells along an edge of what the denoising model takes as one token
  SchedulerCorrections scheduler_corrections = SchedulerCorrections::kNone;
  NoiseConditioning noise_conditioning = NoiseConditioning::kTimestep;
  bool flow_matching = false;  ///< trained by flow matching, so that only schedulers for it fit
  DefaultSigmas default_sigmas = DefaultSigmas::kOfScheduler;
  MuRule mu_rule = MuRule::kLine;
  GuidanceRule guidance_rule = GuidanceRule::kFromUnconditional;
  StrengthRounding strength_rounding = StrengthRounding::kStepsDone;
  std::optional<c10::ScalarType> latents_dtype = std::nullopt;  ///< see DiffusionParts
  const char* autoencoder_class = "AutoencoderKL";
  VaeFields vae_fields = VaeFields::kScalingFactor;
  std::optional<double> vae_scaling_factor = std::nullopt;  ///< replaces the one in the autoencoder's config

  std::int64_t default_steps = 50;
  double default_guidance_scale = 7.5;
  double default_strength = 1.0;          ///< of image to image
  double inpainting_strength = 1.0;       ///< default strength of requests with a mask
  bool scheduler_takes_strength = false;  ///< see FromNoiseOrImage::Settings
  /// Latent cells along an edge of the native image, where the denoising model's config has no `sample_size`.
  std::int64_t default_sample_size = 64;

  std::span<const RequestField> fields;   ///< that requests may set, in addition to the fields that all families use
  bool takes_clip_skip = true;            ///< where an encoder is CLIP's
  bool keeps_input_sizes = false;         ///< ModelDescription::keeps_input_sizes
  std::int64_t max_reference_pixels = 0;  ///< ModelDescription::max_reference_pixels
  std::int64_t min_reference_pixels = 0;  ///< ModelDescription::min_reference_pixels
  bool rounds_size_down = false;          ///< ModelDescription::rounds_size_down
  /// Completes the description of a checkpoint by what only this family knows; may be null.
  void (*describe)(const Checkpoint& folder, ModelDescription& d) = nullptr;
  /// Makes ServedModel::check of requests for a checkpoint, in addition to what all families check; may be null.
  std::function<void(const GenerationRequest&)> (*request_check)(const Checkpoint& folder,
                                                                 const PipelineOptions& options,
                                                                 const ModelDescription& d) = nullptr;
  int guided_rows = 2;  ///< of the denoising model, for one image with guidance
  bool needs_image = false;
  bool image_conditioned = false;        ///< further channels of the model's input are an image, not an inpainting mask
  int upscale_factor = 0;                ///< ModelDescription::upscale_factor
  int max_input_images = 1;              ///< ModelDescription::max_input_images
  bool second_image_needs_mask = false;  ///< ModelDescription::second_image_needs_mask
  /// Plans the size that is generated for an output. @param denoiser  the config of the denoising model
  Canvas (*plan_canvas)(const ModelDescription& model, Config denoiser, int width, int height) = &plan_any_canvas;

  /// Adds the family's denoisers to a builder and builds the pipeline.
  /// @throws Error(kNotFound, kCorruptData, kUnsupported)  names the file and what is wrong with it
  std::unique_ptr<Pipeline> (*load)(PipelineBuilder&);
};

std::span<const Family> families();

/// The family of a checkpoint. @throws Error(kUnsupported)  easel does not run it
const Family& find_family(const Checkpoint& folder);

/// The text encoders that a checkpoint of the family has.
std::vector<TextEncoderSpec> text_encoders_of(const Family& family, const Checkpoint& folder);

// Family::load of the rows.

/// Stable Diffusion 1.x, 2.0 and 2.1 (Rombach et al. 2022, arXiv:2112.10752) and latent consistency models (Luo et al.
/// 2023, arXiv:2310.04378), whose UNet takes the guidance scale as an input. The pipeline classes for images and masks
/// differ only in what they are given: any of these checkpoints generates from prompts, images and masks, except that
/// one with an inpainting UNet requires a mask.
std::unique_ptr<Pipeline> load_stable_diffusion(PipelineBuilder& builder);

/// Stable Diffusion XL (Podell et al. 2023, arXiv:2307.01952) and its refiner, on its own or after a base.
std::unique_ptr<Pipeline> load_stable_diffusion_xl(PipelineBuilder& builder);

/// InstructPix2Pix (Brooks et al. 2022, arXiv:2211.09800): changes an image as a prompt says. The image's latents are
/// further channels of the UNet's input, and guide the image along with the prompt.
std::unique_ptr<Pipeline> load_instruct_pix2pix(PipelineBuilder& builder);

/// The upscaler of Stable Diffusion 2 that enlarges four times. Its UNet sees the low-resolution image under noise, and
/// the noise level as a class (Ho et al. 2021, arXiv:2106.15282).
std::unique_ptr<Pipeline> load_image_upscale(PipelineBuilder& builder);

/// The upscaler of Stable Diffusion 2 that enlarges twice. Its UNet sees the low-resolution image's latents, and takes
/// noise levels in place of timesteps.
std::unique_ptr<Pipeline> load_latent_upscale(PipelineBuilder& builder);

/// Z-Image (arXiv:2511.22699), Turbo and base, which differ in their weights and in the scheduler's shift: a
/// transformer trained by flow matching, whose text encoder is a language model.
std::unique_ptr<Pipeline> load_z_image(PipelineBuilder& builder);

/// FLUX.1 (Black Forest Labs 2024): schnell, dev and what is derived from them, which differ in whether the guidance
/// scale is an input of the transformer. A negative prompt needs GenerationRequest::true_cfg_scale.
std::unique_ptr<Pipeline> load_flux(PipelineBuilder& builder);
/// FLUX.1 Kontext: changes an image as a prompt says. The transformer sees the image's latents as further tokens. With
/// a mask, only a part of the image changes.
std::unique_ptr<Pipeline> load_flux_kontext(PipelineBuilder& builder);
/// Family::describe of both: without that input, the guidance scale has no use.
void describe_flux(const Checkpoint& folder, ModelDescription& d);

/// Stable Diffusion 3 and 3.5 (Esser et al. 2024, arXiv:2403.03206), which differ in the configs and weights of their
/// transformers only. T5 may be absent.
std::unique_ptr<Pipeline> load_stable_diffusion_3(PipelineBuilder& builder);

/// PixArt-Sigma (Chen et al. 2024, arXiv:2403.04692), which generates from prompts only, at one of the sizes that it
/// was trained on.
std::unique_ptr<Pipeline> load_pixart_sigma(PipelineBuilder& builder);

/// FLUX.2 klein (Black Forest Labs 2026), distilled and base, which differ in their weights and in `is_distilled` of
/// model_index.json: a transformer trained by flow matching, which sees the images of a request as references.
std::unique_ptr<Pipeline> load_flux2_klein(PipelineBuilder& builder);

/// Family::request_check: refuses references for which the device has no memory.
std::function<void(const GenerationRequest&)> check_flux2_references(const Checkpoint& folder,
                                                                     const PipelineOptions& options,
                                                                     const ModelDescription& d);
/// Family::describe: distilled models have no use for guidance.
void describe_flux2_klein(const Checkpoint& folder, ModelDescription& d);

/// Whether the checkpoint's model was distilled so that it is run without guidance whatever the request's scale
/// (`is_distilled` of model_index.json).
bool is_distilled(const Checkpoint& folder);

/// The refiner that a base checkpoint's manifest names, if any.
/// @throws Error(kNotFound, kCorruptData, kUnsupported)  the checkpoint does not exist or is not a refiner
std::optional<Checkpoint> find_refiner(const Checkpoint& base);

}  // namespace easel
