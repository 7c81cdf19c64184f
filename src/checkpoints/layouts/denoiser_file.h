// Families whose denoiser is shared as a file of its own, with text encoders and autoencoder in others.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "checkpoints/layouts/component_layout.h"
#include "core/component.h"

namespace easel {

/// A text encoder that belongs to a denoiser.
struct EncoderPart {
  Component component;
  const char* class_name;  ///< in model_index.json
  const char* tokenizer_class;
  bool may_be_absent = false;
  const char* prefix = nullptr;  ///< of its tensors where the denoiser's file holds it as well
};

/// One family. A row of denoiser_files().
struct DenoiserFile {
  const char* name;            ///< for messages, e.g. "Z-Image"
  const char* class_name;      ///< of diffusers' pipeline
  const char* denoiser_class;  ///< for which there is a ComponentLayout; by its names a file is recognised
  std::vector<EncoderPart> text_encoders;
  /// scheduler_config.json of the published model. @param denoiser  under the model's names
  nlohmann::json (*scheduler)(const TensorStore& denoiser);
  /// Fields of the autoencoder's config.json that do not follow from its tensors.
  nlohmann::json vae;
  const char* vae_class = "AutoencoderKL";
  /// Settings of model_index.json; null for none. @param denoiser  as above
  nlohmann::json (*settings)(const TensorStore& denoiser) = nullptr;
};

std::span<const DenoiserFile> denoiser_files();

// Rows of single families, in files of their own.
DenoiserFile z_image_file();
DenoiserFile flux_file();
DenoiserFile flux2_file();

}  // namespace easel
