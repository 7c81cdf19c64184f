// Follows infer_diffusers_model_type of diffusers 0.42.1, and the repositories whose configs it uses for each result.
#include "checkpoints/single_file_family.h"

#include <ATen/core/Tensor.h>

#include <cstdlib>

#include "checkpoints/prediction_type.h"
#include "core/text.h"
#include "easel/error.h"

namespace easel {
namespace {

using nlohmann::json;

constexpr std::int64_t kOpenClipWidth = 1024;     // of SD 2.x's text encoder
constexpr std::int64_t kRefinerTextWidth = 1280;  // of the text encoder of SDXL's refiner
/// OpenCLIP's ViT-H has 24 layers. SD 2.x was trained on the output of the last but one, so diffusers' text encoder
/// ends there even if the file holds more.
constexpr std::int64_t kOpenClipLayersUsed = 23;
constexpr std::int64_t kBaseSteps = 875000;  // training steps of SD 2.0's model for 512 x 512, which predicts noise

enum class Kind { kSd1, kSd2, kXl, kRefiner, kUpscaler };

bool is_xl(Kind kind) {
  return kind == Kind::kXl || kind == Kind::kRefiner;
}

Error unsupported(const SafetensorsFile& file, const std::string& what) {
  return {ErrorCode::kUnsupported, concat(file.where(), " is ", what, ", which easel does not support")};
}

std::int64_t dimension(const SafetensorsFile& file, const std::string& name, std::size_t axis) {
  const auto* info = file.find(name);
  return info != nullptr && axis < info->shape.size() ? info->shape[axis] : 0;
}

/// Width of the text embeddings that the UNet attends to; 0 if unknown.
std::int64_t text_width(const SafetensorsFile& file, const NameSet& names) {
  const std::string prefix = kUNetPrefix;
  const auto blocks = names.count(prefix + "input_blocks.");
  for (std::int64_t i = 1; i < blocks; ++i) {
    const auto width =
        dimension(file, concat(prefix, "input_blocks.", i, ".1.transformer_blocks.0.attn2.to_k.weight"), 1);
    if (width > 0) return width;
  }
  return 0;
}

Kind find_kind(const SafetensorsFile& file, const NameSet& names) {
  const std::string prefix = kUNetPrefix;
  if (names.has(prefix + kClassEmbedding)) return Kind::kUpscaler;
  if (names.has("edm_mean")) throw unsupported(file, "Playground v2.5");
  if (names.has_prefix(prefix + "input_blocks.1.0.time_stack.")) throw unsupported(file, "Stable Video Diffusion");
  const bool has_image_encoder = names.has_prefix("cond_stage_model.model.visual.") ||
                                 names.has_prefix("cond_stage_model.transformer.vision_model.");
  if (has_image_encoder && !find_text_encoder(names, "cond_stage_model.")) {
    throw unsupported(file, "a model that is shown an image in place of a prompt (image variations and the like)");
  }
  const auto width = text_width(file, names);
  if (!names.has_prefix(prefix + "label_emb.")) {
    const bool open_clip = width == kOpenClipWidth || names.has_prefix("cond_stage_model.model.transformer.") ||
                           names.has_prefix("conditioner.embedders.0.model.");
    return open_clip ? Kind::kSd2 : Kind::kSd1;
  }
  if (names.has_prefix("conditioner.embedders.0.model.")) return Kind::kRefiner;
  if (names.has_prefix("conditioner.embedders.")) return Kind::kXl;
  if (width == kOpenClipWidth) throw unsupported(file, "Stable unCLIP");
  return width == kRefinerTextWidth ? Kind::kRefiner : Kind::kXl;
}

/// The pipeline class, from the number of channels that the UNet has in addition to the latents.
std::string class_of(const SafetensorsFile& file, Kind kind) {
  if (kind == Kind::kUpscaler) return "StableDiffusionUpscalePipeline";
  const auto channels = dimension(file, concat(kUNetPrefix, "input_blocks.0.0.weight"), 1);
  const std::string family = is_xl(kind) ? "StableDiffusionXL" : "StableDiffusion";
  if (channels == 9 && kind != Kind::kRefiner) return family + "InpaintPipeline";
  if (channels == 8 && kind == Kind::kXl) {
    throw unsupported(file, "an SDXL InstructPix2Pix (StableDiffusionXLInstructPix2PixPipeline)");
  }
  if (channels == 8 && kind != Kind::kRefiner) return family + "InstructPix2PixPipeline";
  if (channels == 5) throw unsupported(file, "a depth-to-image model (StableDiffusionDepth2ImgPipeline)");
  if (channels == 7) throw unsupported(file, "an upscaler without classes for noise levels");
  return family + (kind == Kind::kRefiner ? "Img2ImgPipeline" : "Pipeline");
}

/// Number of training steps, which some files contain; otherwise 0.
std::int64_t global_step(const SafetensorsFile& file) {
  const auto noted = file.metadata().find("global_step");  // by `easel convert`
  if (noted != file.metadata().end()) return std::strtoll(noted->second.c_str(), nullptr, 10);
  const auto* info = file.find("global_step");
  if (info == nullptr || info->dtype != at::kLong) return 0;
  const auto tensor = file.read("global_step");
  return tensor.numel() == 1 ? tensor.item<std::int64_t>() : 0;
}

/// SD 2.x for 512 x 512 and for 768 x 768 differ only in this, which does not follow from shapes.
PredictionType prediction_type(const SafetensorsFile& file, const NameSet& names, const SingleFileOverrides& overrides,
                               Kind kind, const std::string& class_name) {
  if (auto stated = stated_prediction_type(file, names, overrides)) return std::move(*stated);
  if (kind == Kind::kUpscaler) return {"v_prediction", "its family"};
  if (kind != Kind::kSd2 || class_name != "StableDiffusionPipeline") return {"epsilon", "its family"};
  const bool base = global_step(file) == kBaseSteps;
  return {base ? "epsilon" : "v_prediction", "its family and `global_step`"};
}

json scheduler_of(const SafetensorsFile& file, const NameSet& names, Kind kind, const std::string& class_name,
                  const std::string& prediction_type) {
  json scheduler{{"beta_start", 0.00085},
                 {"beta_end", 0.012},
                 {"beta_schedule", "scaled_linear"},
                 {"num_train_timesteps", 1000},
                 {"steps_offset", 1},
                 {"clip_sample", false},
                 {"set_alpha_to_one", false},
                 {"prediction_type", prediction_type}};
  if (is_xl(kind)) {
    scheduler["_class_name"] = "EulerDiscreteScheduler";
    scheduler["timestep_spacing"] = "leading";
    scheduler["interpolation_type"] = "linear";
    scheduler["use_karras_sigmas"] = false;
    scheduler["skip_prk_steps"] = true;
    scheduler["sample_max_value"] = 1.0;
  } else if (class_name.find("InstructPix2Pix") != std::string::npos) {
    scheduler["_class_name"] = "EulerAncestralDiscreteScheduler";
  } else if (kind == Kind::kUpscaler) {
    scheduler["_class_name"] = "DDIMScheduler";
    scheduler["beta_start"] = 0.0001;
    scheduler["beta_end"] = 0.02;
  } else if (kind == Kind::kSd2 && prediction_type == "v_prediction") {
    scheduler["_class_name"] = "DDIMScheduler";
  } else {
    scheduler["_class_name"] = "PNDMScheduler";
    scheduler["skip_prk_steps"] = true;
  }
  if (names.has("ztsnr")) scheduler["rescale_betas_zero_snr"] = true;
  return scheduler;
}

/// The scheduler by which the upscaler adds noise to the low-resolution image.
json low_res_scheduler() {
  return {{"_class_name", "DDPMScheduler"},   {"beta_start", 0.0001},          {"beta_end", 0.02},
          {"beta_schedule", "scaled_linear"}, {"clip_sample", true},           {"num_train_timesteps", 1000},
          {"prediction_type", "epsilon"},     {"variance_type", "fixed_small"}};
}

/// Latent cells of the native image; for the upscaler also the size of the low-resolution image.
std::int64_t sample_size_of(Kind kind, const std::string& prediction_type) {
  const bool large = is_xl(kind) || kind == Kind::kUpscaler;
  return large ? 128 : kind == Kind::kSd2 && prediction_type == "v_prediction" ? 96 : 64;
}

VaeTraits vae_of(Kind kind, std::int64_t sample_size) {
  constexpr std::int64_t kScale = 8;  // pixels per latent cell
  if (kind == Kind::kUpscaler) return {.scaling_factor = 0.08333, .sample_size = 256};
  return {.scaling_factor = is_xl(kind) ? 0.13025 : 0.18215,
          .force_upcast = is_xl(kind),
          .sample_size = kScale * sample_size};
}

std::vector<SingleFileTextEncoder> find_text_encoders(const NameSet& names, Kind kind) {
  const SingleFileTextEncoder clip{.component = Component::kTextEncoder,
                                   .scope = "cond_stage_model.",
                                   .class_name = "CLIPTextModel",
                                   .hidden_act = "quick_gelu",
                                   .padding = ClipPadding::kEndOfText};
  SingleFileTextEncoder open_clip = clip;
  open_clip.hidden_act = "gelu";
  open_clip.padding = ClipPadding::kExclamation;
  if (kind == Kind::kSd1) return {clip};
  if (kind == Kind::kSd2 || kind == Kind::kUpscaler) {
    open_clip.max_layers = kOpenClipLayersUsed;
    // SD-Turbo was trained with SDXL's code, which names its only text encoder like the first of two.
    if (names.has_prefix("conditioner.embedders.0.")) open_clip.scope = "conditioner.embedders.0.";
    return {open_clip};
  }
  SingleFileTextEncoder first = clip;
  first.scope = "conditioner.embedders.0.";
  open_clip.component = Component::kTextEncoder2;
  open_clip.class_name = "CLIPTextModelWithProjection";
  open_clip.scope = kind == Kind::kRefiner ? "conditioner.embedders.0." : "conditioner.embedders.1.";
  return kind == Kind::kRefiner ? std::vector{open_clip} : std::vector{first, open_clip};
}

}  // namespace

SingleFileFamily find_single_file_family(const SafetensorsFile& file, const NameSet& names,
                                         const SingleFileOverrides& overrides) {
  const auto kind = find_kind(file, names);
  if (names.has_prefix("edm_vpred.") && overrides.configs.empty()) {
    throw unsupported(file, "trained with EDM's v-prediction (`edm_vpred...`)");
  }
  SingleFileFamily family;
  family.class_name = class_of(file, kind);
  family.text_encoders = find_text_encoders(names, kind);
  const auto [prediction, source] = prediction_type(file, names, overrides, kind, family.class_name);
  family.prediction_source = source;
  family.schedulers[Component::kScheduler] = scheduler_of(file, names, kind, family.class_name, prediction);
  family.sample_size = sample_size_of(kind, prediction);
  family.vae = vae_of(kind, family.sample_size);
  if (kind == Kind::kUpscaler) family.schedulers[Component::kLowResScheduler] = low_res_scheduler();
  if (is_xl(kind)) family.settings["force_zeros_for_empty_prompt"] = kind == Kind::kXl;
  if (kind == Kind::kRefiner) family.settings["requires_aesthetics_score"] = true;
  return family;
}

}  // namespace easel
