#include "weights/stores/component_store.h"

#include <filesystem>

#include "core/text.h"
#include "easel/error.h"
#include "weights/stores/gguf_file.h"
#include "weights/stores/quantization.h"
#include "weights/stores/safetensors.h"
#include "weights/stores/sharded_store.h"

namespace easel {
namespace {

/// The checkpoint folder that a component folder belongs to.
std::string checkpoint_folder_of(const std::string& folder) {
  auto path = std::filesystem::absolute(folder).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();  // the path ended in a slash
  return path.parent_path().string();
}

Error no_weights_error(const std::string& folder, const std::string& stem) {
  const std::string wanted = safetensors_files(stem, "").single;
  std::error_code ignored;
  if (!std::filesystem::is_directory(folder, ignored))
    return {ErrorCode::kNotFound, concat("folder ", folder, " is missing")};
  for (const auto* variant : {"", kHalfVariants[0], kHalfVariants[1]}) {
    if (const auto found = find_component_file(folder, torch_bin_files(stem, variant))) {
      return {ErrorCode::kNotFound,
              concat(folder, " has no ", wanted, ", only ", *found,
                     ", which can run code when it is loaded; make safetensors of it with `easel convert ",
                     checkpoint_folder_of(folder), "`")};
    }
  }
  return {ErrorCode::kNotFound,
          concat(folder, " has no ", wanted, ", nor its variants fp16 and bf16, nor an index of shards")};
}

}  // namespace

std::shared_ptr<const TensorStore> open_component(const std::string& folder, const std::string& stem,
                                                  const std::string& preferred) {
  for (const std::string& variant :
       {preferred, std::string(), std::string(kHalfVariants[0]), std::string(kHalfVariants[1])}) {
    const auto files = safetensors_files(stem, variant);
    const auto found = find_component_file(folder, files);
    if (found == files.single) return with_scales(std::make_shared<SafetensorsFile>(folder + "/" + files.single));
    if (found == files.index) return std::make_shared<ShardedStore>(folder, files.index);
    const auto gguf = concat(folder, '/', gguf_file(stem, variant));
    if (std::filesystem::exists(gguf)) return std::make_shared<GgufFile>(gguf);
  }
  throw no_weights_error(folder, stem);
}

}  // namespace easel
