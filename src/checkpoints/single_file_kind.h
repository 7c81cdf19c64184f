// Detects what kind of model a safetensors file holds, from the names of its tensors.
#pragma once

#include <string>

#include "weights/stores/original_names.h"

namespace easel {

struct SingleFileKind {
  enum class Use {
    kCheckpoint,     ///< holds a UNet in the original layout
    kDenoiser,       ///< holds a denoiser of denoiser_files()
    kComponentOnly,  ///< holds only an autoencoder or a text encoder, for checkpoints to name
    kOther,
  };
  Use use = Use::kOther;
  std::string
      what;  ///< follows the file's name in an error, e.g. "is an adapter, not a checkpoint"; empty for checkpoints
};

SingleFileKind find_single_file_kind(const NameSet& names);

}  // namespace easel
