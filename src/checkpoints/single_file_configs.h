// The configs of a file in the original layout, from the names and shapes of its tensors.
#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "weights/stores/original_names.h"

namespace easel {

/// Prefix of a UNet's names.
inline constexpr char kUNetPrefix[] = "model.diffusion_model.";
/// Name of the class embedding of the x4 upscaler's UNet, after that prefix.
inline constexpr char kClassEmbedding[] = "label_emb.weight";

/// The prefix of the autoencoder's names: "first_stage_model.", "vae." or empty. None if there is no autoencoder.
std::optional<std::string> find_vae(const NameSet& names);

inline constexpr std::int64_t kAllLayers = std::numeric_limits<std::int64_t>::max();

/// A text encoder in a file.
struct OriginalTextEncoder {
  bool open_clip = false;  ///< whether names are those of OpenCLIP; otherwise those of transformers
  std::string prefix;      ///< of its names, before what original_clip_names or original_open_clip_names expects
  std::string projection;  ///< name of its projection, which may be missing
  std::int64_t layers = 0;
};

/// Finds the text encoder whose names begin with `scope`, such as "cond_stage_model.", followed by "transformer." or
/// "model.". None if there is none.
/// @param scope       empty for a file that holds only a text encoder
/// @param max_layers  layers that the model uses; the file may have more
std::optional<OriginalTextEncoder> find_text_encoder(const NameSet& names, const std::string& scope,
                                                     std::int64_t max_layers = kAllLayers);

/// Maps diffusers' names to the names in the file.
OriginalNames names_of(const OriginalTextEncoder& encoder);

/// Settings of an autoencoder that do not follow from its tensors.
struct VaeTraits {
  double scaling_factor = 0;
  bool force_upcast = false;
  std::int64_t sample_size = 0;  ///< edge of a tile in pixels
};

// The fields of config.json that follow from shapes; other fields are those of the published models. The functions
// throw Error(kCorruptData) if a tensor is missing, and Error(kUnsupported) if the shapes are ambiguous. The messages
// name the file and the tensor.

/// @param sample_size  latent cells of the native image
nlohmann::json unet_config_of(const TensorStore& file, const OriginalUNetLayout& layout, std::int64_t sample_size);
nlohmann::json vae_config_of(const TensorStore& file, const OriginalVaeLayout& layout, const std::string& prefix,
                             const VaeTraits& traits);
/// The config of the autoencoder that all these families, except the upscaler, were published with. For files without
/// an autoencoder, which use another one's weights.
nlohmann::json published_vae_config(const VaeTraits& traits);
/// @param hidden_act  "gelu" or "quick_gelu", which does not follow from shapes
nlohmann::json text_config_of(const TensorStore& file, const OriginalTextEncoder& encoder,
                              const std::string& hidden_act);

}  // namespace easel
