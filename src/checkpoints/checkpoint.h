// A checkpoint, a folder in diffusers' layout or one file: what it says of itself, before any weight is read.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "checkpoints/checkpoint_source.h"
#include "core/component.h"
#include "easel/generation.h"

namespace easel {

/// "512x768" as width and height, both positive; none when it is anything else.
std::optional<std::pair<int, int>> parse_size(const std::string& text);

/// What a manifest can say of a checkpoint that is one file. Paths are seen from the manifest's folder.
struct SingleFileOverrides {
  std::string configs;  ///< folder in diffusers' layout: its configs, tokenizers and model_index.json come before those
                        ///< that follow from the file, its weights fill in what the file lacks
  std::string text_encoder, text_encoder_2;  ///< folder or file, where the checkpoint has none
  std::string prediction_type;               ///< "epsilon" or "v_prediction"; empty: found out
};

/// What the person who packed the model knows about it: easel.json, an optional file beside model_index.json, or
/// NAME.easel.json beside NAME.safetensors.
///
/// {"name", "licence", "native_size": "WxH", "native_size_only": bool, "refiner": "PATH", "vae": "PATH",
///  "upscale_tile": N, "defaults": {"num_inference_steps", "guidance_scale", "scheduler", "denoising_end"}}, and of a
/// single file {"configs", "text_encoder", "text_encoder_2", "prediction_type"}; every field is optional, others are
/// errors.
struct Manifest {
  std::string licence;
  std::optional<std::pair<int, int>> native_size;  ///< width, height in pixels
  bool native_size_only = false;
  int upscale_tile = 0;  ///< of upscalers: images larger than this square are drawn in tiles of it; 0: the default
  std::optional<std::int64_t> num_inference_steps;
  std::optional<double> guidance_scale;
  std::string scheduler;
  std::string refiner;  ///< SDXL's refiner, seen from the manifest's folder; empty for none
  std::string vae;      ///< the autoencoder that is used instead of the checkpoint's own, seen likewise; empty for none
  std::optional<double> denoising_end;  ///< where the refiner takes over
  SingleFileOverrides single_file;
};

/// The parts of a checkpoint: those that model_index.json names, or that a single file has.
struct Checkpoint {
  std::string path;        ///< the folder or the file
  std::string index;       ///< the file that says what the parts are: model_index.json, or the single file
  std::string class_name;  ///< e.g. "StableDiffusionPipeline"
  std::map<Component, std::string> components;  ///< each with its class, e.g. "UNet2DConditionModel"; nulls left out
  nlohmann::json settings = nlohmann::json::object();  ///< e.g. "force_zeros_for_empty_prompt", "max_noise_level"
  Manifest manifest;
  std::shared_ptr<const CheckpointSource> source;  ///< configs, weights and tokenizers; never null once opened

  /// @param vae  autoencoder to use instead of the checkpoint's own and of the manifest's; empty: those
  /// @throws Error(kNotFound)      nothing there, no model_index.json
  /// @throws Error(kCorruptData)   not what such a file holds
  /// @throws Error(kUnsupported)   a pickle; a single file of another family
  static Checkpoint open(const std::string& path, const std::string& vae = "");

  /// What a model_index.json says of the pipeline, `class_name` and `settings`, comes before what was known.
  void read_pipeline(const Config& model_index);
  /// A path that the manifest names.
  std::string resolve(const std::string& relative) const;
  /// A file of a folder; of a single file, one that does not exist.
  std::string file(const std::string& relative) const { return path + "/" + relative; }
  /// @throws Error(kCorruptData, kUnsupported)  the component is absent, or of another class
  void require(Component component, const std::string& class_name) const;
};

/// A checkpoint's licence as its folder tells it: the manifest, the model card's front matter, or the first line of a
/// LICENSE file; empty when none does.
std::string find_licence(const Checkpoint& folder);

}  // namespace easel
