#include "nn/activation.h"

#include <ATen/ops/clamp_min.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/mish.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/silu.h>

#include <algorithm>
#include <cctype>
#include <string>

namespace easel {
namespace {

// x * sigmoid(1.702 x), the approximation of GELU that the first CLIP models were trained with.
at::Tensor quick_gelu(const at::Tensor& x) {
  return at::mul(x, 1.702).sigmoid_().mul_(x);
}

}  // namespace

std::optional<Activation> parse_activation(std::string_view name) {
  std::string lower(name);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
  if (lower == "silu" || lower == "swish") return Activation::kSilu;
  if (lower == "gelu") return Activation::kGelu;
  if (lower == "mish") return Activation::kMish;
  if (lower == "relu") return Activation::kRelu;
  return std::nullopt;
}

at::Tensor activate(Activation activation, const at::Tensor& x) {
  switch (activation) {
    case Activation::kSilu:
      return at::silu(x);
    case Activation::kGelu:
      return at::gelu(x);
    case Activation::kGeluTanh:
      return at::gelu(x, "tanh");
    case Activation::kMish:
      return at::mish(x);
    case Activation::kRelu:
      return at::clamp_min(x, 0);  // not at::relu, which does not support meta tensors
    case Activation::kQuickGelu:
      return quick_gelu(x);
  }
  return x;
}

at::Tensor activate_in_place(Activation activation, at::Tensor x) {
  switch (activation) {
    case Activation::kSilu:
      return at::silu_(x);
    case Activation::kGelu:
      return at::gelu_(x);
    case Activation::kGeluTanh:
      return at::gelu_(x, "tanh");
    case Activation::kMish:
      return at::mish_(x);
    case Activation::kRelu:
      return at::clamp_min_(x, 0);
    case Activation::kQuickGelu:
      return quick_gelu(x);
  }
  return x;
}

}  // namespace easel
