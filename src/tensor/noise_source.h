// Noise that is diffusers' noise.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>

namespace easel {

/// The random numbers of one picture: torch.Generator("cpu").manual_seed(seed), float32, whatever the device.
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

  /// What it was made with, however much was drawn since.
  std::uint64_t seed() const;

  /// Standard normal numbers. @return float32 of `shape`, on the CPU
  at::Tensor normal(at::IntArrayRef shape);
  /// The same numbers cast to dtype and sent to device, without waiting for the device.
  at::Tensor normal_like(const at::Tensor& like);

 private:
  at::Generator generator_;
};

}  // namespace easel
