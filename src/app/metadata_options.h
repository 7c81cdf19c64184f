// What the program writes into image files.
#pragma once

#include "app/command_line/options.h"
#include "easel/image_metadata.h"

namespace easel {

/// @throws Error  as list_devices()
MetadataOptions metadata_options(const Options& options);

}  // namespace easel
