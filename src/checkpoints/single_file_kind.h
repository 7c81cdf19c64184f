// What a safetensors file is, of all that people keep in such files: from its tensors' names.
#pragma once

#include <string>

#include "weights/stores/original_names.h"

namespace easel {

struct SingleFileKind {
  enum class Use {
    kCheckpoint,     ///< holds a UNet of the original layout
    kComponentOnly,  ///< an autoencoder or a text encoder alone, which lies there for checkpoints to name
    kOther,
  };
  Use use = Use::kOther;
  std::string what;  ///< goes on after the file's name, unless it is a checkpoint: "is a LoRA, not a checkpoint: ..."
};

SingleFileKind find_single_file_kind(const NameSet& names);

}  // namespace easel
