// The random numbers of an image, equal to those of diffusers. This header needs libtorch.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

namespace easel {

/// Where a part of an image lies in the whole, in latent cells.
struct NoiseWindow {
  std::int64_t full_height, full_width;  ///< of the whole image
  std::int64_t top, left;                ///< where the part begins
};

/// The random numbers of one image: torch.Generator("cpu").manual_seed(seed) in float32, on every device.
///
/// As in diffusers, the order and the shapes of the draws decide the numbers. A copy continues from the same point
/// independently of the original. Not thread-safe.
class NoiseSource {
 public:
  explicit NoiseSource(std::uint64_t seed);
  NoiseSource(const NoiseSource& other);
  NoiseSource& operator=(const NoiseSource& other);
  NoiseSource(NoiseSource&&) = default;
  NoiseSource& operator=(NoiseSource&&) = default;

  /// A copy that draws through a window: each draw makes the noise of the whole image and returns the window's part of
  /// it, so that the noise of overlapping parts agrees.
  NoiseSource through(const NoiseWindow& window) const;

  /// The seed given at construction, no matter how much was drawn since.
  std::uint64_t seed() const;

  /// Standard normal numbers: float32 on the CPU.
  /// @param shape  of the result; through a window it ends with the part's height and width
  at::Tensor normal(at::IntArrayRef shape);
  /// normal() in the shape of `like`, converted to its dtype and copied to its device without waiting for the device.
  at::Tensor normal_like(const at::Tensor& like);

 private:
  at::Generator generator_;
  std::optional<NoiseWindow> window_;
};

}  // namespace easel
