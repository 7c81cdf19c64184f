#include "nn/transformer/rotary.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/reciprocal.h>
#include <ATen/ops/sin.h>
#include <ATen/ops/stack.h>

#include <vector>

namespace easel {
namespace {

/// theta^(-2 i / d) for i = 0 to d / 2 - 1.
at::Tensor frequencies(std::int64_t channels, double theta, const at::TensorOptions& options) {
  const auto exponents = at::arange(0, channels, 2, options) / static_cast<double>(channels);
  return at::reciprocal(at::pow(theta, exponents));
}

/// Adds the dimension of the heads.
RotaryTable for_heads(const RotaryTable& table) {
  return {.cos = table.cos.unsqueeze(-2), .sin = table.sin.unsqueeze(-2)};
}

}  // namespace

RotaryTable axes_rotary_table(const at::Tensor& positions, std::span<const std::int64_t> axes, double theta,
                              RotaryRounding rounding) {
  const auto angle_dtype = rounding == RotaryRounding::kAngles ? at::kFloat : at::kDouble;
  std::vector<at::Tensor> angles;
  for (std::size_t axis = 0; axis < axes.size(); ++axis) {
    const auto turns = frequencies(axes[axis], theta, positions.options().dtype(at::kDouble));
    const auto position = positions.select(-1, static_cast<std::int64_t>(axis)).to(at::kDouble).unsqueeze(-1);
    angles.push_back((position * turns).to(angle_dtype));
  }
  const auto all = at::cat(angles, /*dim=*/-1);
  return {.cos = at::cos(all).to(at::kFloat), .sin = at::sin(all).to(at::kFloat)};
}

RotaryTable text_rotary_table(std::int64_t length, std::int64_t head_dim, double theta, c10::Device device) {
  const auto options = at::TensorOptions().device(device).dtype(at::kFloat);
  const auto angles = at::arange(length, options).unsqueeze(-1) * frequencies(head_dim, theta, options);
  return {.cos = at::cos(angles), .sin = at::sin(angles)};
}

at::Tensor rotate_pairs(const at::Tensor& x, const RotaryTable& table) {
  const auto [cos, sin] = for_heads(table);
  const auto pairs = x.to(at::kFloat).unflatten(-1, {-1, 2});  // [B, L, heads, D / 2, 2]
  const auto first = pairs.select(-1, 0), second = pairs.select(-1, 1);
  return at::stack({first * cos - second * sin, second * cos + first * sin}, /*dim=*/-1)
      .flatten(-2)
      .to(x.scalar_type());
}

at::Tensor rotate_halves(const at::Tensor& x, const RotaryTable& table) {
  const auto [cos, sin] = for_heads(table);
  const auto halves = x.chunk(2, /*dim=*/-1);
  return at::cat({halves[0] * cos - halves[1] * sin, halves[1] * cos + halves[0] * sin}, /*dim=*/-1);
}

}  // namespace easel
