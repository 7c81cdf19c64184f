#include "checkpoints/layouts/component_layout.h"

#include <algorithm>
#include <array>

#include "core/text.h"
#include "easel/error.h"
#include "weights/format/message_format.h"

namespace easel {

std::span<const ComponentLayout> component_layouts() {
  static const std::array layouts{kZImageLayout, kFluxLayout,  kFlux2Layout, kFlux2VaeLayout,
                                  kSd3Layout,    kQwen3Layout, kT5Layout};
  return layouts;
}

const ComponentLayout* find_layout(const std::string& class_name) {
  const auto layouts = component_layouts();
  const auto found = std::ranges::find_if(layouts, [&](const ComponentLayout& layout) {
    return class_name == layout.class_name ||
           (layout.other_class_name != nullptr && class_name == layout.other_class_name);
  });
  return found == layouts.end() ? nullptr : &*found;
}

std::vector<std::int64_t> required_shape(const TensorStore& weights, const std::string& name, std::size_t dimensions) {
  const auto* info = weights.find(name);
  if (info == nullptr) {
    throw Error(ErrorCode::kCorruptData,
                concat(weights.where(), ": tensor ", quote_name(weights.stored_name(name)), " is missing"));
  }
  if (info->shape.size() == dimensions) return info->shape;
  throw Error(ErrorCode::kCorruptData,
              concat(weights.where(), ": tensor ", quote_name(weights.stored_name(name)), " is ",
                     format_shape(info->shape), ", expected ", dimensions, " dimensions"));
}

std::string respelled(const std::string& name, std::span<const LayerSpelling> layers,
                      std::span<const BlockSpelling> blocks) {
  for (const auto& [stored, model] : layers) {
    if (name.starts_with(stored)) return concat(model, name.substr(stored.size()));
  }
  for (const auto& block : blocks) {
    const auto dot = name.starts_with(block.stored) ? name.find('.', block.stored.size()) : std::string::npos;
    if (dot == std::string::npos) continue;
    const auto number = name.substr(block.stored.size(), dot + 1 - block.stored.size()), layer = name.substr(dot + 1);
    for (const auto& [stored, model] : block.layers) {
      if (layer.starts_with(stored)) return concat(block.model, number, model, layer.substr(stored.size()));
    }
  }
  return name;
}

OriginalNames renamed_tensors(const TensorStore& file, const std::string& prefix, RenameTensor rename) {
  OriginalNames names;
  for (const auto& stored : file.names()) {
    if (!stored.starts_with(prefix)) continue;
    const auto name = rename(stored.substr(prefix.size()));
    if (name.empty()) continue;
    const auto [other, is_new] = names.emplace(name, OriginalTensor{.name = stored});
    if (!is_new) {
      throw Error(ErrorCode::kCorruptData, concat(file.where(), ": ", quote_name(other->second.name), " and ",
                                                  quote_name(stored), " are the same tensor under two names"));
    }
  }
  return names;
}

void add_fused(OriginalNames& names, const std::string& stored, const std::string& query, const std::string& key,
               const std::string& value) {
  using Form = OriginalTensor::Form;
  names[query] = {.name = stored, .form = Form::kQuery};
  names[key] = {.name = stored, .form = Form::kKey};
  names[value] = {.name = stored, .form = Form::kValue};
}

}  // namespace easel
