// The names that Stable Diffusion's own code gave its tensors, beside diffusers' names for them: checkpoints that are
// one file have the former.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "weights/loading/weights.h"

namespace easel {

/// One of diffusers' tensors as the original layout stores it.
struct OriginalTensor {
  enum class Form {
    kSame,
    kMatrix,      ///< there a convolution of one cell, [C, D, 1, 1] or [C, D, 1], here a matrix, [C, D]
    kTransposed,  ///< there [C, D], here [D, C]
    kQuery,       ///< the first third of rows
    kKey,         ///< the second
    kValue,       ///< the last
  };
  std::string name;
  Form form = Form::kSame;
};

/// By diffusers' name.
using OriginalNames = std::map<std::string, OriginalTensor>;

/// The levels of a UNet.
struct OriginalUNetLayout {
  std::int64_t layers_per_block = 0;
  std::vector<std::int64_t> transformer_depths;  ///< a level each, widest first; 0: without attention
  std::int64_t mid_depth = 0;                    ///< of the transformer in the middle
};

/// The levels of an autoencoder.
struct OriginalVaeLayout {
  std::int64_t levels = 0;
  std::int64_t layers_per_block = 0;
};

/// The names of one file, for questions about what it holds.
class NameSet {
 public:
  explicit NameSet(const TensorStore& store);
  bool has(const std::string& name) const { return names_.contains(name); }
  bool has_prefix(const std::string& prefix) const;  ///< whether a name begins so
  /// One more than the largest number that follows this prefix; 0 when none does.
  std::int64_t count(const std::string& prefix) const;
  auto begin() const { return names_.begin(); }
  auto end() const { return names_.end(); }

 private:
  std::set<std::string> names_;
};

// What a prefix such as "model.diffusion_model." is followed by. Counts come from the names that are there, so that a
// tensor that is missing among them is still expected.

OriginalUNetLayout original_unet_layout(const NameSet& names, const std::string& prefix);
OriginalVaeLayout original_vae_layout(const NameSet& names, const std::string& prefix);

/// @param prefix  ends in a dot or is empty, in all of these
OriginalNames original_unet_names(const OriginalUNetLayout& layout, const std::string& prefix);
OriginalNames original_vae_names(const OriginalVaeLayout& layout, const std::string& prefix);
/// CLIP's text encoder as transformers names it: `prefix` is followed by "embeddings.", "encoder." and so on.
/// @param projection  name of its projection; empty for none
OriginalNames original_clip_names(std::int64_t layers, const std::string& prefix, const std::string& projection);
/// CLIP's text encoder as OpenCLIP names it: fused projections of attention, and a projection that is transposed.
OriginalNames original_open_clip_names(std::int64_t layers, const std::string& prefix);

/// The tensors that `names` knows and `store` holds, under diffusers' names. Values are views where the form allows.
/// @throws Error(kCorruptData)  a tensor whose shape is not what its form takes
std::shared_ptr<const TensorStore> with_diffusers_names(std::shared_ptr<const TensorStore> store, OriginalNames names);

}  // namespace easel
