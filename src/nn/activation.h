// The nonlinearities that configs name.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string_view>

namespace easel {

enum class Activation { kSilu, kGelu, kMish, kRelu, kQuickGelu };

/// diffusers' name for one: "silu" or "swish", "gelu", "mish", "relu", in any case; none when it is another.
std::optional<Activation> parse_activation(std::string_view name);

at::Tensor activate(Activation activation, const at::Tensor& x);
/// The same numbers written over `x`, which the caller owns alone.
at::Tensor activate_in_place(Activation activation, at::Tensor x);

}  // namespace easel
