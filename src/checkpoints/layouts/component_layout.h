// How a component is stored in a file without configs: under which names, and what follows from its shapes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "weights/stores/original_names.h"

namespace easel {

/// One class of component. A row of component_layouts().
struct ComponentLayout {
  const char* class_name;                  ///< in model_index.json, e.g. "ZImageTransformer2DModel"
  const char* other_class_name = nullptr;  ///< another class with the same tensors
  /// Whether the names after `prefix`, which is empty or ends in a dot, are those of this class.
  bool (*fits)(const NameSet& names, const std::string& prefix);
  /// The names under which the model takes its tensors, for each tensor that the file has after the prefix. A tensor
  /// that is not listed is an error, unless harmless_because() knows it.
  OriginalNames (*names)(const TensorStore& file, const std::string& prefix);
  /// config.json as it follows from the tensors, under the names of the model; other fields are those of the published
  /// models. @throws Error(kCorruptData, kUnsupported)  a tensor is missing, or the shapes are ambiguous
  nlohmann::json (*config)(const TensorStore& weights);
};

std::span<const ComponentLayout> component_layouts();

/// The layout of a class; null if easel reads the class only from folders.
const ComponentLayout* find_layout(const std::string& class_name);

// For the functions of layouts.

/// The shape of a tensor that has this many dimensions. @throws Error(kCorruptData)  missing, or of another number
std::vector<std::int64_t> required_shape(const TensorStore& weights, const std::string& name, std::size_t dimensions);

/// The beginning of a layer's name in a file and in the model.
struct LayerSpelling {
  std::string_view stored, model;
};

/// The layers of numbered blocks: what precedes the number of a block, and its layers.
struct BlockSpelling {
  std::string_view stored, model;  ///< with a dot at the end, e.g. "double_blocks." and "transformer_blocks."
  std::span<const LayerSpelling> layers;
};

/// A tensor's name in the model: the spelling by which it begins is replaced. Any other name stays.
std::string respelled(const std::string& name, std::span<const LayerSpelling> layers,
                      std::span<const BlockSpelling> blocks);

/// Renames one tensor: the name after the prefix to the name in the model; empty to leave it out.
using RenameTensor = std::string (*)(const std::string& rest);

/// The tensors after a prefix under the names that `rename` gives.
OriginalNames renamed_tensors(const TensorStore& file, const std::string& prefix, RenameTensor rename);

/// Adds a fused query, key and value as the three tensors of these names.
void add_fused(OriginalNames& names, const std::string& stored, const std::string& query, const std::string& key,
               const std::string& value);

// Rows of single families, in files of their own.
extern const ComponentLayout kZImageLayout, kFluxLayout, kFlux2Layout, kFlux2VaeLayout, kSd3Layout, kQwen3Layout,
    kT5Layout;

}  // namespace easel
