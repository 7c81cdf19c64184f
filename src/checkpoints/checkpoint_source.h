// Where the parts of a checkpoint come from: a folder in diffusers' layout, one file, or a mixture.
#pragma once

#include <memory>
#include <string>

#include "core/component.h"
#include "core/config.h"
#include "easel/tokenizer.h"
#include "weights/loading/weights.h"

namespace easel {

/// A checkpoint's parts by the names that diffusers gives them: "unet", "vae", "text_encoder", "text_encoder_2",
/// "tokenizer", "scheduler", ... Opening a part reads headers and JSON; tensors come from disk when they are read.
/// Immutable; thread-safe.
class CheckpointSource {
 public:
  virtual ~CheckpointSource() = default;

  /// The fields of a model's config.json, or of scheduler_config.json.
  /// @throws Error(kNotFound, kCorruptData, kUnsupported)  names the file; so do those below
  virtual Config config(Component component) const = 0;

  /// A model's tensors under diffusers' names.
  virtual std::shared_ptr<const TensorStore> weights(Component component) const = 0;

  virtual std::unique_ptr<Tokenizer> tokenizer(Component component) const = 0;
};

/// The folders of one checkpoint folder, a component each.
std::shared_ptr<const CheckpointSource> open_folder_source(const std::string& folder);

/// The weights of one component folder.
/// @param component  tells how its files are called: transformers and diffusers differ
/// @throws Error(kNotFound, kCorruptData)  as easel::open_component
std::shared_ptr<const TensorStore> open_component_folder(const std::string& folder, Component component);

/// `source` with another autoencoder.
/// @param path  a component folder with config.json, a checkpoint folder that has one, or a safetensors file in
///              diffusers' names or the original ones
///              ("first_stage_model.", "vae." or nothing before "encoder."), a whole checkpoint among them. The config
///              is the config.json beside the file, and the checkpoint's own where there is none
/// @throws Error(kNotFound, kCorruptData, kUnsupported)  names the file
std::shared_ptr<const CheckpointSource> with_vae(std::shared_ptr<const CheckpointSource> source,
                                                 const std::string& path);

}  // namespace easel
