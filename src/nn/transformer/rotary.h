// Rotary position embeddings (Su et al. 2021, arXiv:2104.09864).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

namespace easel {

/// The rotation of each pair of a head's channels at each token.
struct RotaryTable {
  at::Tensor cos;  ///< [B, L, D / 2] or [L, D / 2], D being the width of a head
  at::Tensor sin;  ///< the same shape
};

/// What of a rotation is rounded to float32.
enum class RotaryRounding {
  kAngles,   ///< the angles, so that cosines and sines are taken in float32 (Z-Image)
  kCosines,  ///< the cosines and sines (FLUX)
};

/// Rotations for tokens with several coordinates, such as text position, row and column. Each axis turns channels of
/// its own; angles are position / theta^(2 i / d), computed in float64.
/// @param positions  int64 [B, L, A] or [L, A]
/// @param axes       the channels of each of the A axes, each even; D is their sum
/// @return           float32 [B, L, D / 2] or [L, D / 2]
RotaryTable axes_rotary_table(const at::Tensor& positions, std::span<const std::int64_t> axes, double theta,
                              RotaryRounding rounding = RotaryRounding::kAngles);

/// Rotations for the positions 0 to length - 1, computed in float32 throughout.
/// @param head_dim  D, even
/// @return          float32 [length, D / 2]
RotaryTable text_rotary_table(std::int64_t length, std::int64_t head_dim, double theta, c10::Device device);

/// Turns the pairs of channels (0, 1), (2, 3), ... in float32. @param x  [B, L, heads, D] @return the same, in x's
/// dtype
at::Tensor rotate_pairs(const at::Tensor& x, const RotaryTable& table);

/// Turns the pairs of channels (0, D / 2), (1, D / 2 + 1), ... in x's dtype. @param x  [B, L, heads, D]
/// @param table  in x's dtype
at::Tensor rotate_halves(const at::Tensor& x, const RotaryTable& table);

}  // namespace easel
