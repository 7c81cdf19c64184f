// What the registry knows of a family of checkpoints.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "checkpoints/checkpoint_folder.h"
#include "easel/generation.h"
#include "easel/pipeline.h"
#include "pipelines/denoising/diffusion_pipeline.h"
#include "pipelines/denoising/scheduler_config.h"
#include "pipelines/prompts/prompt_encoder.h"

namespace easel {

/// A text encoder that a family's checkpoints have, with the tokenizer of the same suffix.
struct TextEncoderPart {
  const char* suffix;      ///< "" for text_encoder, "_2" for text_encoder_2
  const char* class_name;  ///< of transformers
  PromptState state;
  bool may_be_absent = false;  ///< null in some of the family's checkpoints
};

/// One `_class_name` of model_index.json.
struct Family {
  const char* class_name;
  const char* name;  ///< ModelDescription::family
  std::vector<TextEncoderPart> text_encoders;
  SchedulerCorrections scheduler_corrections;
  VaeFields vae_fields;
  double default_guidance_scale;
  double default_strength;  ///< of image to image
  std::int64_t default_steps = 50;
  ModeDefaults mode_defaults = {};
  /// Latent cells along an edge of the native picture, where unet/config.json has no `sample_size`.
  std::int64_t default_sample_size = 64;
  int guided_rows = 2;  ///< of the UNet, for one picture with guidance
  bool needs_image = false;
  bool sees_picture = false;  ///< further channels of the UNet's input are a picture, and not an inpainting mask
  int upscale_factor = 0;     ///< ModelDescription::upscale_factor
  NoiseTold told = NoiseTold::kTimestep;
  /// Reads the weights. @throws Error(kNotFound, kCorruptData, kUnsupported)
  std::unique_ptr<Pipeline> (*load)(const Family&, const CheckpointFolder&, ModelDescription, const PipelineOptions&);
};

/// The text encoders that a checkpoint of the family has.
std::vector<TextEncoderPart> text_encoders_of(const Family& family, const CheckpointFolder& folder);

}  // namespace easel
