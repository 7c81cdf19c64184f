#include "pipelines/families/families.h"

#include <string>

#include "core/text.h"
#include "easel/error.h"
#include "models/transformers/pixart_transformer_2d.h"
#include "pipelines/images/aspect_ratio_bins.h"
#include "pipelines/prompts/sdxl_conditioner.h"

namespace easel {
namespace {

constexpr TextEncoderSpec kClip[] = {{Component::kTextEncoder, "CLIPTextModel", PromptState::kLastNormed}};
constexpr TextEncoderSpec kPooledClip[] = {{Component::kTextEncoder, "CLIPTextModel", PromptState::kLastPooled}};
constexpr TextEncoderSpec kXlText[] = {
    {Component::kTextEncoder, "CLIPTextModel", PromptState::kPenultimate},
    {Component::kTextEncoder2, "CLIPTextModelWithProjection", PromptState::kPenultimate}};
constexpr TextEncoderSpec kXlRefinerText[] = {
    {Component::kTextEncoder, "CLIPTextModel", PromptState::kPenultimate, /*may_be_absent=*/true},
    {Component::kTextEncoder2, "CLIPTextModelWithProjection", PromptState::kPenultimate}};

constexpr TextEncoderSpec kQwen3[] = {{.component = Component::kTextEncoder,
                                       .class_name = "Qwen3Model",
                                       .state = PromptState::kPenultimate,
                                       .kind = TextEncoderKind::kQwen3,
                                       .other_class_name = "Qwen3ForCausalLM",
                                       .tokenizer_class = "Qwen2Tokenizer"}};

constexpr TextEncoderSpec kFluxText[] = {{Component::kTextEncoder, "CLIPTextModel", PromptState::kLastPooled},
                                         {.component = Component::kTextEncoder2,
                                          .class_name = "T5EncoderModel",
                                          .state = PromptState::kLastNormed,
                                          .kind = TextEncoderKind::kT5,
                                          .tokenizer_class = "T5Tokenizer"}};

constexpr TextEncoderSpec kSd3Text[] = {
    {Component::kTextEncoder, "CLIPTextModelWithProjection", PromptState::kPenultimate},
    {Component::kTextEncoder2, "CLIPTextModelWithProjection", PromptState::kPenultimate},
    {.component = Component::kTextEncoder3,
     .class_name = "T5EncoderModel",
     .state = PromptState::kLastNormed,
     .may_be_absent = true,
     .kind = TextEncoderKind::kT5,
     .tokenizer_class = "T5Tokenizer"}};

constexpr TextEncoderSpec kT5[] = {{.component = Component::kTextEncoder,
                                    .class_name = "T5EncoderModel",
                                    .state = PromptState::kLastNormed,
                                    .kind = TextEncoderKind::kT5,
                                    .tokenizer_class = "T5Tokenizer"}};

constexpr RequestField kImageToImageFields[] = {RequestField::kMask, RequestField::kStrength,
                                                RequestField::kGuidanceRescale};
constexpr RequestField kFlowFields[] = {RequestField::kMask, RequestField::kStrength};
constexpr RequestField kFluxFields[] = {RequestField::kMask, RequestField::kStrength, RequestField::kTrueCfgScale};
constexpr RequestField kInstructionFields[] = {RequestField::kImageGuidanceScale};
constexpr RequestField kNoiseLevelFields[] = {RequestField::kNoiseLevel};

// The pixels to which references are resized (Kontext, where they vary by 3 %) or reduced (FLUX.2 klein).
constexpr std::int64_t kMegapixel = 1024 * 1024;

/// Families that easel recognises but does not run.
struct UnsupportedFamily {
  const char* class_name;
  const char* why;
};
constexpr UnsupportedFamily kUnsupportedFamilies[] = {
    {"StableDiffusionDepth2ImgPipeline", "its images are guided by a depth map, and easel has no depth estimator"}};

constexpr Family z_image(const char* class_name) {
  return {.class_name = class_name,
          .name = "z-image",
          .text_encoders = kQwen3,
          .denoising_model = Component::kTransformer,
          .denoising_model_class = "ZImageTransformer2DModel",
          .step_estimate = &z_image_step_estimate,
          .patch_size = 2,
          .flow_matching = true,
          .default_sigmas = DefaultSigmas::kLinear,
          .guidance_rule = GuidanceRule::kFromText,
          .strength_rounding = StrengthRounding::kStepsSkipped,
          .latents_dtype = at::kFloat,
          .vae_fields = VaeFields::kShift,
          .default_steps = 50,
          .default_guidance_scale = 5.0,
          .default_strength = 0.6,
          .default_sample_size = 128,
          .fields = kFlowFields,
          .load = &load_z_image};
}

constexpr Family flux(const char* class_name) {
  return {.class_name = class_name,
          .name = "flux",
          .text_encoders = kFluxText,
          .denoising_model = Component::kTransformer,
          .denoising_model_class = "FluxTransformer2DModel",
          .step_estimate = &flux_step_estimate,
          .patch_size = 2,
          .flow_matching = true,
          .default_sigmas = DefaultSigmas::kLinearFloat64,
          .guidance_rule = GuidanceRule::kTrueCfg,
          .strength_rounding = StrengthRounding::kStepsSkipped,
          .vae_fields = VaeFields::kShift,
          .default_steps = 28,
          .default_guidance_scale = 3.5,
          .default_strength = 0.6,
          .inpainting_strength = 0.6,
          .default_sample_size = 128,
          .fields = kFluxFields,
          .takes_clip_skip = false,
          .rounds_size_down = true,
          .describe = &describe_flux,
          .load = &load_flux};
}

constexpr Family flux_kontext(const char* class_name) {
  auto family = flux(class_name);
  family.name = "flux-kontext";
  family.step_estimate = &flux_kontext_step_estimate;
  family.default_strength = 1.0;
  family.inpainting_strength = 1.0;
  family.keeps_input_sizes = true;
  family.max_reference_pixels = kMegapixel;
  family.min_reference_pixels = kMegapixel;
  family.max_input_images = 2;
  family.second_image_needs_mask = true;
  family.load = &load_flux_kontext;
  return family;
}

/// @param default_steps  which differ among the reference's pipelines
constexpr Family stable_diffusion_3(const char* class_name, std::int64_t default_steps) {
  return {.class_name = class_name,
          .name = "stable-diffusion-3",
          .text_encoders = kSd3Text,
          .denoising_model = Component::kTransformer,
          .denoising_model_class = "SD3Transformer2DModel",
          .step_estimate = &sd3_step_estimate,
          .patch_size = 2,
          .flow_matching = true,
          .strength_rounding = StrengthRounding::kStepsSkipped,
          .vae_fields = VaeFields::kShiftUnlessMasked,
          .default_steps = default_steps,
          .default_guidance_scale = 7.0,
          .default_strength = 0.6,
          .inpainting_strength = 0.6,
          .default_sample_size = 128,
          .fields = kFlowFields,
          .load = &load_stable_diffusion_3};
}

/// Family::plan_canvas of PixArt-Sigma.
Canvas plan_pixart_canvas(const ModelDescription&, Config denoiser, int width, int height) {
  return plan_binned_canvas(PixArtTransformer2DConfig::from(denoiser).sample_size, width, height);
}

/// @param guidance_scale  the default
constexpr Family flux2_klein(const char* class_name, double guidance_scale) {
  return {.class_name = class_name,
          .name = "flux2-klein",
          .text_encoders = kQwen3,
          .denoising_model = Component::kTransformer,
          .denoising_model_class = "Flux2Transformer2DModel",
          .step_estimate = &flux2_step_estimate,
          .patch_size = 2,
          .flow_matching = true,
          .default_sigmas = DefaultSigmas::kLinearFloat64,
          .mu_rule = MuRule::kEmpirical,
          .strength_rounding = StrengthRounding::kStepsSkipped,
          .autoencoder_class = "AutoencoderKLFlux2",
          .vae_fields = VaeFields::kPatches,
          .default_steps = 50,
          .default_guidance_scale = guidance_scale,
          .inpainting_strength = 0.8,
          .default_sample_size = 128,
          .fields = kFlowFields,
          .keeps_input_sizes = true,
          .max_reference_pixels = kMegapixel,
          .rounds_size_down = true,
          .describe = &describe_flux2_klein,
          .request_check = &check_flux2_references,
          .max_input_images = 16,
          .load = &load_flux2_klein};
}

constexpr Family kFamilies[] = {
    {.class_name = "StableDiffusionPipeline",
     .name = "stable-diffusion",
     .text_encoders = kClip,
     .scheduler_corrections = SchedulerCorrections::kStableDiffusion,
     .default_guidance_scale = 7.5,
     .default_strength = 0.8,
     .fields = kImageToImageFields,
     .load = &load_stable_diffusion},
    {.class_name = "StableDiffusionImg2ImgPipeline",
     .name = "stable-diffusion",
     .text_encoders = kClip,
     .scheduler_corrections = SchedulerCorrections::kStableDiffusion,
     .default_guidance_scale = 7.5,
     .default_strength = 0.8,
     .fields = kImageToImageFields,
     .load = &load_stable_diffusion},
    {.class_name = "StableDiffusionInpaintPipeline",
     .name = "stable-diffusion",
     .text_encoders = kClip,
     .scheduler_corrections = SchedulerCorrections::kStableDiffusionInpainting,
     .default_guidance_scale = 7.5,
     .default_strength = 0.8,
     .fields = kImageToImageFields,
     .load = &load_stable_diffusion},
    {.class_name = "LatentConsistencyModelPipeline",
     .name = "latent-consistency-model",
     .text_encoders = kClip,
     .default_steps = 4,
     .default_guidance_scale = 8.5,
     .default_strength = 0.8,
     .scheduler_takes_strength = true,
     .fields = kImageToImageFields,
     .load = &load_stable_diffusion},
    {.class_name = "LatentConsistencyModelImg2ImgPipeline",
     .name = "latent-consistency-model",
     .text_encoders = kClip,
     .default_steps = 4,
     .default_guidance_scale = 8.5,
     .default_strength = 0.8,
     .scheduler_takes_strength = true,
     .fields = kImageToImageFields,
     .load = &load_stable_diffusion},
    {.class_name = "StableDiffusionXLPipeline",
     .name = "stable-diffusion-xl",
     .text_encoders = kXlText,
     .vae_fields = VaeFields::kAll,
     .default_guidance_scale = 5.0,
     .default_strength = 0.3,
     .inpainting_strength = 0.9999,
     .default_sample_size = 128,
     .fields = kImageToImageFields,
     .load = &load_stable_diffusion_xl},
    {.class_name = "StableDiffusionXLInpaintPipeline",
     .name = "stable-diffusion-xl",
     .text_encoders = kXlText,
     .vae_fields = VaeFields::kAll,
     .default_guidance_scale = 7.5,
     .default_strength = 0.3,
     .inpainting_strength = 0.9999,
     .default_sample_size = 128,
     .fields = kImageToImageFields,
     .load = &load_stable_diffusion_xl},
    {.class_name = kSdxlRefinerClass,
     .name = "stable-diffusion-xl",
     .text_encoders = kXlRefinerText,
     .vae_fields = VaeFields::kAll,
     .default_guidance_scale = 5.0,
     .default_strength = 0.3,
     .inpainting_strength = 0.9999,
     .default_sample_size = 128,
     .fields = kImageToImageFields,
     .needs_image = true,
     .load = &load_stable_diffusion_xl},
    {.class_name = "StableDiffusionInstructPix2PixPipeline",
     .name = "instruct-pix2pix",
     .text_encoders = kClip,
     .default_steps = 100,
     .default_guidance_scale = 7.5,
     .fields = kInstructionFields,
     .guided_rows = 3,
     .needs_image = true,
     .image_conditioned = true,
     .load = &load_instruct_pix2pix},
    {.class_name = "StableDiffusionUpscalePipeline",
     .name = "stable-diffusion-upscale",
     .text_encoders = kClip,
     .vae_fields = VaeFields::kForceUpcast,
     .vae_scaling_factor = 0.08333,
     .default_steps = 75,
     .default_guidance_scale = 9.0,
     .fields = kNoiseLevelFields,
     .needs_image = true,
     .image_conditioned = true,
     .upscale_factor = 4,
     .load = &load_image_upscale},
    {.class_name = "StableDiffusionLatentUpscalePipeline",
     .name = "stable-diffusion-latent-upscale",
     .text_encoders = kPooledClip,
     .noise_conditioning = NoiseConditioning::kLogSigma,
     .default_steps = 75,
     .default_guidance_scale = 9.0,
     .fields = {},
     .needs_image = true,
     .image_conditioned = true,
     .upscale_factor = 2,
     .load = &load_latent_upscale},
    z_image("ZImagePipeline"),
    z_image("ZImageImg2ImgPipeline"),
    z_image("ZImageInpaintPipeline"),
    flux("FluxPipeline"),
    flux("FluxImg2ImgPipeline"),
    flux("FluxInpaintPipeline"),
    flux_kontext("FluxKontextPipeline"),
    flux_kontext("FluxKontextInpaintPipeline"),
    stable_diffusion_3("StableDiffusion3Pipeline", 28),
    stable_diffusion_3("StableDiffusion3Img2ImgPipeline", 50),
    stable_diffusion_3("StableDiffusion3InpaintPipeline", 50),
    {.class_name = "PixArtSigmaPipeline",
     .name = "pixart-sigma",
     .text_encoders = kT5,
     .denoising_model = Component::kTransformer,
     .denoising_model_class = "PixArtTransformer2DModel",
     .other_denoising_model_class = "Transformer2DModel",
     .step_estimate = &pixart_step_estimate,
     .patch_size = 2,
     .default_steps = 20,
     .default_guidance_scale = 4.5,
     .default_sample_size = 128,
     .fields = {},
     .max_input_images = 0,
     .plan_canvas = &plan_pixart_canvas,
     .load = &load_pixart_sigma},
    flux2_klein("Flux2KleinPipeline", 4.0),
    flux2_klein("Flux2KleinInpaintPipeline", 8.0),
};

}  // namespace

// The parameters are those of Family::plan_canvas. NOLINTNEXTLINE(performance-unnecessary-value-param)
Canvas plan_any_canvas(const ModelDescription& model, Config, int width, int height) {
  return plan_canvas(model, width, height);
}

std::span<const Family> families() {
  return kFamilies;
}

const Family& find_family(const Checkpoint& folder) {
  for (const auto& [class_name, why] : kUnsupportedFamilies) {
    if (folder.class_name == class_name) {
      throw Error(ErrorCode::kUnsupported, concat(folder.index, ": ", class_name, " is not supported: ", why));
    }
  }
  std::vector<std::string> names;
  for (const auto& family : families()) {
    if (folder.class_name == family.class_name) return family;
    names.emplace_back(family.class_name);
  }
  throw Error(ErrorCode::kUnsupported,
              concat(folder.index, ": `_class_name` is ", folder.class_name, "; easel supports ", join(names)));
}

bool is_distilled(const Checkpoint& folder) {
  return Config(folder.settings, folder.index).get("is_distilled", false);
}

std::vector<TextEncoderSpec> text_encoders_of(const Family& family, const Checkpoint& folder) {
  std::vector<TextEncoderSpec> present;
  for (const auto& text : family.text_encoders) {
    const bool absent = !folder.components.contains(text.component);
    if (!(text.may_be_absent && absent)) present.push_back(text);
  }
  return present;
}

}  // namespace easel
