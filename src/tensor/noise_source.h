// Noise that is diffusers' noise.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

namespace easel {

/// A part of an image, in latent cells.
struct NoiseWindow {
  std::int64_t full_height, full_width;  ///< of the image
  std::int64_t top, left;                ///< where the part begins
};

/// The random numbers of one image: torch.Generator("cpu").manual_seed(seed), float32, whatever the device.
///
/// Draw order and shapes decide the numbers, as there. Copyable: a copy goes on from the same point, independently.
/// Not thread-safe.
class NoiseSource {
 public:
  explicit NoiseSource(std::uint64_t seed);
  NoiseSource(const NoiseSource& other);
  NoiseSource& operator=(const NoiseSource& other);
  NoiseSource(NoiseSource&&) = default;
  NoiseSource& operator=(NoiseSource&&) = default;

  /// The same numbers from here on as one sees them who knows only a part of the image: each draw is one of the whole
  /// image's height and width, cut. So parts that overlap agree where they do.
  NoiseSource through(const NoiseWindow& window) const;

  /// What it was made with, however much was drawn since.
  std::uint64_t seed() const;

  /// Standard normal numbers. @param shape  [..., h, w] through a window. @return float32 of `shape`, on the CPU
  at::Tensor normal(at::IntArrayRef shape);
  /// The same numbers cast to dtype and sent to device, without waiting for the device.
  at::Tensor normal_like(const at::Tensor& like);

 private:
  at::Generator generator_;
  std::optional<NoiseWindow> window_;
};

}  // namespace easel
