// Tensors of a single file that no component takes: the ones that may be left out, and the ones that may not.
#pragma once

#include <string>
#include <vector>

#include "weights/stores/original_names.h"

namespace easel {

/// A component in a file of the original layout.
struct FilePart {
  enum class Kind { kUnet, kTransformer, kVae, kTextEncoder };
  Kind kind;
  std::string prefix;  ///< of its tensors; empty: an autoencoder's halves, or the whole file of a text encoder
};

/// Why the model is the same without a tensor, e.g. "it is used only in training"; null for a tensor that may matter.
/// @param rest  its name after the part's prefix
const char* harmless_because(FilePart::Kind kind, const std::string& rest);

/// Checks that every tensor of a part is used, harmless or ignored.
/// @param used     lists the stored names that the component takes
/// @param ignored  patterns of --ignore-tensors; see is_ignored
/// @throws Error(kCorruptData)  a tensor is neither used, nor harmless, nor ignored; lists the first twenty and how
/// many more there are, and
///                              names --ignore-tensors
void check_all_used(const TensorStore& store, const FilePart& part, const OriginalNames& used,
                    const std::vector<std::string>& ignored);

}  // namespace easel
