// What a file of the original layout holds, from its tensors' names and shapes.
#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "weights/stores/original_names.h"

namespace easel {

/// Before the names of a UNet.
inline constexpr char kUNetPrefix[] = "model.diffusion_model.";
/// After that, of the x4 upscaler's classes.
inline constexpr char kClassEmbedding[] = "label_emb.weight";

/// What the autoencoder's names begin with: "first_stage_model.", "vae." or nothing; none where there is no
/// autoencoder.
std::optional<std::string> find_vae(const NameSet& names);

inline constexpr std::int64_t kAllLayers = std::numeric_limits<std::int64_t>::max();

/// A text encoder among the names.
struct OriginalTextEncoder {
  bool open_clip = false;  ///< named as OpenCLIP does; else as transformers does
  std::string prefix;      ///< of its names, up to what original_clip_names or original_open_clip_names expects
  std::string projection;  ///< name of its projection, there or not
  std::int64_t layers = 0;
};

/// The text encoder that a file made for one alone holds, or the one whose names begin with `scope`, such as
/// "cond_stage_model.": then "transformer." or "model." follows. None where there is none.
/// @param scope        empty for a file of its own
/// @param max_layers  that the model uses; the file may have more
std::optional<OriginalTextEncoder> find_text_encoder(const NameSet& names, const std::string& scope,
                                                     std::int64_t max_layers = kAllLayers);

/// Diffusers' names for it.
OriginalNames names_of(const OriginalTextEncoder& encoder);

/// What an autoencoder's tensors do not tell.
struct VaeTraits {
  double scaling_factor = 0;
  bool force_upcast = false;
  std::int64_t sample_size = 0;  ///< edge of a tile in pixels
};

// The fields of config.json that follow from shapes; activations and the like are those of the published models. All
// throw Error(kCorruptData) when a tensor is missing, and Error(kUnsupported) when the shapes tell too little; they
// name file and tensor.

/// @param sample_size  latent cells of the native image
nlohmann::json unet_config_of(const TensorStore& file, const OriginalUNetLayout& layout, std::int64_t sample_size);
nlohmann::json vae_config_of(const TensorStore& file, const OriginalVaeLayout& layout, const std::string& prefix,
                             const VaeTraits& traits);
/// The autoencoder that all these families but the upscaler were published with; for files without one, which get
/// another's weights.
nlohmann::json published_vae_config(const VaeTraits& traits);
/// @param hidden_act  "gelu" or "quick_gelu", which shapes do not tell
nlohmann::json text_config_of(const TensorStore& file, const OriginalTextEncoder& encoder,
                              const std::string& hidden_act);

}  // namespace easel
