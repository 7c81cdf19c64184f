// The activation functions that configs name.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string_view>

namespace easel {

enum class Activation { kSilu, kGelu, kGeluTanh, kMish, kRelu, kQuickGelu };

/// Parses diffusers' names: "silu" or "swish", "gelu", "mish", "relu", in any case; none for any other name.
std::optional<Activation> parse_activation(std::string_view name);

at::Tensor activate(Activation activation, const at::Tensor& x);
/// Writes the result over `x`, which the caller must not share.
at::Tensor activate_in_place(Activation activation, at::Tensor x);

}  // namespace easel
