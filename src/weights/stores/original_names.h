// The names that Stable Diffusion's own code gave its tensors, with diffusers' names for them. Checkpoints that are one
// file use the former.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "weights/loading/tensor_store.h"

namespace easel {

/// One of diffusers' tensors as the original layout stores it.
struct OriginalTensor {
  enum class Form {
    kSame,
    kMatrix,      ///< stored as a 1 x 1 convolution, [C, D, 1, 1] or [C, D, 1]; diffusers has a matrix, [C, D]
    kTransposed,  ///< stored as [C, D]; diffusers has [D, C]
    kQuery,       ///< the first third of the stored rows
    kKey,         ///< the second third
    kValue,       ///< the last third
    kRows,        ///< `rows` of the stored rows, from `first_row` on
    kSwapped,     ///< the last half of the stored rows, then the first: (shift, scale) as (scale, shift)
  };
  std::string name;
  Form form = Form::kSame;
  std::int64_t first_row = 0, rows = 0;  ///< of kRows
};

/// Keys are diffusers' names.
using OriginalNames = std::map<std::string, OriginalTensor>;

/// The levels of a UNet, as published or with layers removed.
struct OriginalUNetLayout {
  enum class Middle { kNone, kResnet, kAttention };

  std::int64_t layers_per_block = 0;
  /// Blocks in the transformer of each layer on the way down, one list per level, widest level first. The list is empty
  /// if the level has no attention.
  std::vector<std::vector<std::int64_t>> down_depths;
  std::vector<std::vector<std::int64_t>> up_depths;  ///< on the way up, which has one layer more; widest level first
  Middle middle = Middle::kAttention;
  std::int64_t mid_depth = 0;  ///< of the transformer in the middle
};

/// The levels of an autoencoder.
struct OriginalVaeLayout {
  std::int64_t levels = 0;
  std::int64_t layers_per_block = 0;
};

/// The names of one file's tensors, for questions about what the file holds.
class NameSet {
 public:
  explicit NameSet(const TensorStore& store);
  bool has(const std::string& name) const { return names_.contains(name); }
  bool has_prefix(const std::string& prefix) const;  ///< whether a name begins with it
  /// One more than the largest number that follows this prefix; 0 if none does.
  std::int64_t count(const std::string& prefix) const;
  auto begin() const { return names_.begin(); }
  auto end() const { return names_.end(); }

 private:
  std::set<std::string> names_;
};

// The layout of the names that follow a prefix such as "model.diffusion_model.". It is counted from the names in the
// file, so a tensor that is missing among them is still expected.

OriginalUNetLayout original_unet_layout(const NameSet& names, const std::string& prefix);
OriginalVaeLayout original_vae_layout(const NameSet& names, const std::string& prefix);

// In all that follow, `prefix` ends in a dot or is empty.

OriginalNames original_unet_names(const OriginalUNetLayout& layout, const std::string& prefix);
OriginalNames original_vae_names(const OriginalVaeLayout& layout, const std::string& prefix);
/// CLIP's text encoder as transformers names it: `prefix` is followed by "embeddings.", "encoder." and so on.
/// @param projection  name of its projection; empty for none
OriginalNames original_clip_names(std::int64_t layers, const std::string& prefix, const std::string& projection);
/// CLIP's text encoder as OpenCLIP names it: query, key and value are fused, and the projection is transposed.
OriginalNames original_open_clip_names(std::int64_t layers, const std::string& prefix);

/// The tensors of `store` that `names` lists, under diffusers' names. They are views where the form allows it.
/// @throws Error(kCorruptData)  a tensor's shape does not fit its form
std::shared_ptr<const TensorStore> with_diffusers_names(std::shared_ptr<const TensorStore> store, OriginalNames names);

}  // namespace easel
