// What the registry knows of a family of checkpoints.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "checkpoints/checkpoint.h"
#include "easel/generation.h"
#include "easel/pipeline.h"
#include "pipelines/denoising/diffusion_pipeline.h"
#include "pipelines/denoising/scheduler_config.h"
#include "pipelines/prompts/prompt_encoder.h"

namespace easel {

/// A text encoder that a family's checkpoints have, together with its tokenizer.
struct TextEncoderSpec {
  Component component;
  const char* class_name;  ///< of transformers
  PromptState state;
  bool may_be_absent = false;  ///< null in some of the family's checkpoints
};

/// One `_class_name` of model_index.json.
struct Family {
  const char* class_name;
  const char* name;  ///< ModelDescription::family
  std::vector<TextEncoderSpec> text_encoders;
  SchedulerCorrections scheduler_corrections;
  VaeFields vae_fields;
  double default_guidance_scale;
  double default_strength;  ///< of image to image
  std::int64_t default_steps = 50;
  ModeDefaults mode_defaults = {};
  /// Latent cells along an edge of the native image, where unet/config.json has no `sample_size`.
  std::int64_t default_sample_size = 64;
  int guided_rows = 2;  ///< of the UNet, for one image with guidance
  bool needs_image = false;
  bool image_conditioned = false;  ///< further channels of the UNet's input are an image, and not an inpainting mask
  int upscale_factor = 0;          ///< ModelDescription::upscale_factor
  NoiseConditioning noise_conditioning = NoiseConditioning::kTimestep;
  /// Reads the weights. @throws Error(kNotFound, kCorruptData, kUnsupported)
  std::unique_ptr<Pipeline> (*load)(const Family&, const Checkpoint&, ModelDescription, const PipelineOptions&);
};

/// The text encoders that a checkpoint of the family has.
std::vector<TextEncoderSpec> text_encoders_of(const Family& family, const Checkpoint& folder);

}  // namespace easel
