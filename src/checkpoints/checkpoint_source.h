// Sources of a checkpoint's components: a folder in diffusers' layout, a single file, or a mixture.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/component.h"
#include "core/config.h"
#include "easel/tokenizer.h"
#include "weights/loading/tensor_store.h"
#include "weights/stores/quantizing_store.h"

namespace easel {

/// Which tokenizer belongs to a text encoder that is not CLIP's.
enum class TextTokenizerKind { kQwen, kT5 };

/// Opens a checkpoint's components. Opening reads headers and JSON; tensors are loaded when they are read. Immutable;
/// thread-safe.
class CheckpointSource {
 public:
  virtual ~CheckpointSource() = default;

  /// The fields of a model's config.json, or of scheduler_config.json.
  /// @throws Error(kNotFound, kCorruptData, kUnsupported)  names the file; the same holds for the functions below
  virtual Config config(Component component) const = 0;

  /// A model's tensors under diffusers' names.
  virtual std::shared_ptr<const TensorStore> weights(Component component) const = 0;

  virtual std::unique_ptr<Tokenizer> tokenizer(Component component) const = 0;

  /// @param vocab_size  rows of the encoder's embedding table
  /// @throws Error(kUnsupported)  the checkpoint is a single file, which has no such tokenizer
  virtual std::unique_ptr<TextTokenizer> text_tokenizer(Component component, TextTokenizerKind kind,
                                                        std::int64_t vocab_size) const;
};

/// Opens the components of a checkpoint folder, each in a folder of its own.
/// @param ignored_tensors  patterns of tensors that models may leave over; see is_ignored
/// @param variant          of the weights; a component without it is read from its plain files
std::shared_ptr<const CheckpointSource> open_folder_source(const std::string& folder,
                                                           std::vector<std::string> ignored_tensors = {},
                                                           std::string variant = "");

/// Checks that some component of a checkpoint folder has weights of this variant.
/// @throws Error(kNotFound)  none has; lists the variants that the folder has
void require_variant(const std::string& folder, const std::string& variant);

/// Opens the weights in a component's folder.
/// @param component  determines the names of the files, which differ between transformers and diffusers
/// @param variant    as in open_component
/// @throws Error(kNotFound, kCorruptData)  as easel::open_component
std::shared_ptr<const TensorStore> open_component_folder(const std::string& folder, Component component,
                                                         const std::string& variant = "");

/// Replaces the autoencoder of `source`.
/// @param path  a component folder with config.json, a checkpoint folder with a vae folder, or a safetensors file with
///              diffusers' names or the original ones ("first_stage_model.", "vae." or nothing before "encoder."),
///              which may be a whole checkpoint. A file's config is the config.json next to it or, without that, the
///              checkpoint's own
/// @param ignored_tensors  as in open_folder_source
/// @throws Error(kNotFound, kCorruptData, kUnsupported)  names the file
std::shared_ptr<const CheckpointSource> with_vae(std::shared_ptr<const CheckpointSource> source,
                                                 const std::string& path,
                                                 std::vector<std::string> ignored_tensors = {});

/// Quantises the matrices of the denoiser and of the text encoders while they are read; see is_quantizable.
std::shared_ptr<const CheckpointSource> with_quantization(std::shared_ptr<const CheckpointSource> source,
                                                          WeightQuantization quantization);

}  // namespace easel
