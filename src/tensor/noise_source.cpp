#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/randn.h>

#include "easel/noise.h"
#include "tensor/upload.h"

namespace easel {

NoiseSource::NoiseSource(std::uint64_t seed) : generator_(at::detail::createCPUGenerator(seed)) {}
NoiseSource::NoiseSource(const NoiseSource& other) : generator_(other.generator_.clone()), window_(other.window_) {}
NoiseSource& NoiseSource::operator=(const NoiseSource& other) {
  generator_ = other.generator_.clone();
  window_ = other.window_;
  return *this;
}

NoiseSource NoiseSource::through(const NoiseWindow& window) const {
  NoiseSource part(*this);
  part.window_ = window;
  return part;
}

std::uint64_t NoiseSource::seed() const {
  return generator_.current_seed();
}

at::Tensor NoiseSource::normal(at::IntArrayRef shape) {
  auto drawn = shape.vec();
  if (window_) {
    drawn.at(drawn.size() - 2) = window_->full_height;
    drawn.back() = window_->full_width;
  }
  auto numbers = at::randn(drawn, generator_, at::TensorOptions().dtype(at::kFloat).device(at::kCPU));
  if (!window_) return numbers;
  return numbers.narrow(-2, window_->top, shape[shape.size() - 2]).narrow(-1, window_->left, shape.back()).contiguous();
}

at::Tensor NoiseSource::normal_like(const at::Tensor& like) {
  return upload(normal(like.sizes()), like.device(), like.scalar_type());
}

}  // namespace easel
