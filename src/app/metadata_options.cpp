#include "app/metadata_options.h"

#include <torch/headeronly/version.h>

#include "app/models/model_list.h"
#include "app/models/state_folder.h"
#include "core/text.h"
#include "provenance/file_hashes.h"
#include "tensor/placement.h"

namespace easel {

MetadataOptions metadata_options(const Options& options) {
  const auto devices = list_devices(options.model);
  return {.embed = !options.no_metadata,
          .mark = !options.no_ai_mark,
          .version = options.server.version,
          .libtorch = TORCH_VERSION,
          .device = join(devices, ","),
          .dtype = dtype_name(make_placement(devices.front(), options.model.dtype).dtype),
          .prompt_syntax = options.model.prompt_syntax == PromptSyntax::kA1111 ? "a1111" : "plain",
          .file_hashes = std::make_shared<FileHashes>(state_folder("hashes"))};
}

}  // namespace easel
