// A checkpoint, which is a folder in diffusers' layout or a single file, before its weights are read.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "checkpoints/checkpoint_source.h"
#include "core/component.h"
#include "easel/generation.h"
#include "weights/loading/load_context.h"
#include "weights/stores/quantizing_store.h"

namespace easel {

/// Settings in the manifest of a single-file checkpoint. Paths are relative to the manifest's folder.
struct SingleFileOverrides {
  /// Folder in diffusers' layout. Its configs, tokenizers and model_index.json replace what is derived from the file;
  /// its weights are used for components that the file lacks.
  std::string configs;
  std::string text_encoder, text_encoder_2;  ///< folder or file of a text encoder that replaces the file's own
  std::string prediction_type;               ///< "epsilon" or "v_prediction"; empty: detected
};

/// What the packager of a model states about it in easel.json, an optional file next to model_index.json, or in
/// NAME.easel.json next to NAME.safetensors.
///
/// {"name", "licence", "native_size": "WxH", "native_size_only": bool, "refiner": "PATH", "vae": "PATH",
///  "variant", "components": {ROLE: "PATH"}, "upscale_tile": N, "defaults": {"num_inference_steps", "guidance_scale",
///  "scheduler", "denoising_end"}}, and for a
/// single file {"configs", "text_encoder", "text_encoder_2", "prediction_type"}. Every field is optional; other fields
/// are errors.
struct Manifest {
  std::string licence;
  std::optional<std::pair<int, int>> native_size;  ///< width, height in pixels
  bool native_size_only = false;
  int upscale_tile = 0;  ///< of upscalers: larger images are split into square tiles of this edge; 0: the default
  std::optional<std::int64_t> num_inference_steps;
  std::optional<double> guidance_scale;
  std::string scheduler;
  std::string refiner;  ///< path of SDXL's refiner, relative to the manifest's folder; empty: none
  std::string vae;      ///< path of an autoencoder that replaces the checkpoint's own, also relative; empty: none
  std::string variant;  ///< of the weights in the folder, e.g. "bf16"; empty: the plain files
  std::map<std::string, std::string> components;  ///< files and folders by role; relative; see component_of_role
  std::optional<double> denoising_end;            ///< where the refiner takes over
  SingleFileOverrides single_file;
};

/// How a checkpoint is opened.
struct CheckpointOptions {
  std::string vae = {};  ///< path of an autoencoder that replaces the checkpoint's own and the manifest's; empty: none
  std::string preview_vae = {};  ///< path of an AutoencoderTiny for previews; empty: none
  std::string variant = {};  ///< of the weights in a folder, in place of the manifest's: "fp16", "non_ema"; empty: none
  /// Patterns of tensors that may be left out if the model does not use them; see is_ignored.
  std::vector<std::string> ignored_tensors = {};
  std::map<std::string, std::string> components = {};   ///< by role, in place of the manifest's; see component_of_role
  std::optional<WeightQuantization> quantization = {};  ///< of the matrices of denoisers and text encoders
};

/// The components of a checkpoint, as named by model_index.json or found in a single file.
struct Checkpoint {
  std::string path;        ///< the folder or the file
  std::string index;       ///< the file that names the components: model_index.json, or the single file
  std::string class_name;  ///< e.g. "StableDiffusionPipeline"
  std::map<Component, std::string> components;  ///< with their classes, e.g. "UNet2DConditionModel"; nulls are left out
  nlohmann::json settings = nlohmann::json::object();  ///< e.g. "force_zeros_for_empty_prompt", "max_noise_level"
  Manifest manifest;
  std::shared_ptr<const CheckpointSource> source;  ///< configs, weights and tokenizers; never null once opened
  std::shared_ptr<const CheckpointSource> preview_source =
      {};                         ///< its autoencoder decodes previews; null: none is given
  std::string prediction_source;  ///< where the prediction type of its scheduler was found, for the user
  LoadContext load_context;       ///< for the weights that are loaded from it; set by open_model for each load

  /// @throws Error(kNotFound)      the path or its model_index.json does not exist
  /// @throws Error(kCorruptData)   a file does not have the expected contents
  /// @throws Error(kUnsupported)   a pickle; a single file of another family
  static Checkpoint open(const std::string& path, const CheckpointOptions& options = {});

  /// Takes `class_name` and `settings` from a model_index.json, replacing previous values.
  void read_pipeline(const Config& model_index);
  /// Resolves a path in the manifest.
  std::string resolve(const std::string& relative) const;
  /// The path of a file in the folder. For a single file, a path that does not exist.
  std::string file(const std::string& relative) const { return path + "/" + relative; }
  /// @throws Error(kCorruptData, kUnsupported)  the component is absent, or of another class
  void require(Component component, const std::string& class_name) const;
};

/// A checkpoint's licence from the manifest, the model card's front matter, or the first line of a LICENSE file; empty
/// if none of them states one.
std::string find_licence(const Checkpoint& folder);

}  // namespace easel
