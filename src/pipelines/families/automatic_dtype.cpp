#include "pipelines/families/automatic_dtype.h"

#include <ATen/core/Tensor.h>

#include <set>
#include <string>

namespace easel {
namespace {

/// The part of a tensor's name that is common to its block: "down_blocks.0" of "down_blocks.0.resnets.1.conv1.weight",
/// "conv_in" of "conv_in.weight".
std::string block_of(const std::string& tensor) {
  const auto first = tensor.find('.');
  if (first == std::string::npos) return tensor;
  const auto second = tensor.find('.', first + 1);
  const auto number = tensor.substr(first + 1, second - first - 1);
  const bool numbered = !number.empty() && number.find_first_not_of("0123456789") == std::string::npos;
  return tensor.substr(0, numbered ? second : first);
}

bool is_exact_in_bfloat16(const at::Tensor& values) {
  return values.to(at::kBFloat16).to(values.scalar_type()).equal(values);
}

}  // namespace

bool is_suited_to_bfloat16(const TensorStore& denoiser) {
  std::set<std::string> seen;
  for (const auto& name : denoiser.names()) {
    const auto& info = *denoiser.find(name);
    const auto dtype = info.dtype;
    if (info.blocks != nullptr || !c10::isFloatingType(dtype) || c10::elementSize(dtype) <= 2 ||
        !seen.insert(block_of(name)).second)
      continue;
    if (!is_exact_in_bfloat16(denoiser.read(name))) return false;
  }
  return true;
}

c10::ScalarType automatic_dtype(const c10::Device& device, Component model, const TensorStore& denoiser) {
  if (!device.is_cpu()) return model == Component::kTransformer ? c10::kBFloat16 : c10::kHalf;
  return cpu_multiplies_bfloat16() && is_suited_to_bfloat16(denoiser) ? c10::kBFloat16 : c10::kFloat;
}

}  // namespace easel
