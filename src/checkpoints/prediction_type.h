// What a single file's UNet predicts: the noise or the velocity. Shapes do not tell.
#pragma once

#include <optional>
#include <string>

#include "checkpoints/checkpoint.h"
#include "weights/stores/original_names.h"
#include "weights/stores/safetensors.h"

namespace easel {

struct PredictionType {
  std::string name;    ///< "epsilon" or "v_prediction"
  std::string source;  ///< where it is stated, for the user
};

/// Reads `parameterization` (latent diffusion's configs) or the scaling of the denoiser (Stability AI's later ones)
/// from a YAML config. None if the file does not exist or states neither.
/// @throws Error(kUnsupported)  it states another prediction than noise and velocity
std::optional<PredictionType> read_yaml_prediction_type(const std::string& path);

/// What is stated about the file, in this order: by the manifest, NAME.yaml next to the file, the metadata
/// `modelspec.prediction_type` and `prediction_type`, and the tensor `v_pred`. None if nothing is.
/// @throws Error(kUnsupported)  another prediction than noise and velocity; names where it is stated
std::optional<PredictionType> stated_prediction_type(const SafetensorsFile& file, const NameSet& names,
                                                     const SingleFileOverrides& overrides);

}  // namespace easel
