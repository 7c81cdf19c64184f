#include "tensor/noise_source.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/randn.h>

#include "tensor/upload.h"

namespace easel {

NoiseSource::NoiseSource(std::uint64_t seed) : generator_(at::detail::createCPUGenerator(seed)) {}
NoiseSource::NoiseSource(const NoiseSource& other) : generator_(other.generator_.clone()) {}
NoiseSource& NoiseSource::operator=(const NoiseSource& other) {
  generator_ = other.generator_.clone();
  return *this;
}

std::uint64_t NoiseSource::seed() const {
  return generator_.current_seed();
}

at::Tensor NoiseSource::normal(at::IntArrayRef shape) {
  return at::randn(shape, generator_, at::TensorOptions().dtype(at::kFloat).device(at::kCPU));
}

at::Tensor NoiseSource::normal_like(const at::Tensor& like) {
  return upload(normal(like.sizes()), like.device(), like.scalar_type());
}

}  // namespace easel
