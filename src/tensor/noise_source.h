// The random numbers that diffusers would draw.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

namespace easel {

/// A rectangle of an image, in latent cells.
struct NoiseWindow {
  std::int64_t full_height, full_width;  ///< of the whole image
  std::int64_t top, left;                ///< of the rectangle
};

/// The random numbers of one image, those of torch.Generator("cpu").manual_seed(seed): float32, whatever the device.
///
/// The order of draws and their shapes decide the numbers, as in torch. Copyable: a copy continues from the same point,
/// independently.
/// Not thread-safe.
class NoiseSource {
 public:
  explicit NoiseSource(std::uint64_t seed);
  NoiseSource(const NoiseSource& other);
  NoiseSource& operator=(const NoiseSource& other);
  NoiseSource(NoiseSource&&) = default;
  NoiseSource& operator=(NoiseSource&&) = default;

  /// A copy of this source seen through a window: each draw draws the whole image's height and width and returns the
  /// window's part, so that overlapping tiles agree where they overlap.
  NoiseSource through(const NoiseWindow& window) const;

  /// The seed that it was created with, however much has been drawn since.
  std::uint64_t seed() const;

  /// Standard normal numbers. @param shape  [..., h, w] through a window. @return float32 of `shape`, on the CPU
  at::Tensor normal(at::IntArrayRef shape);
  /// The same numbers in the shape and dtype of `like` and on its device; does not wait for the device.
  at::Tensor normal_like(const at::Tensor& like);

 private:
  at::Generator generator_;
  std::optional<NoiseWindow> window_;
};

}  // namespace easel
