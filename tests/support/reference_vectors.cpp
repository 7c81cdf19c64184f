#include "support/reference_vectors.h"

#include <ATen/ops/isfinite.h>

#include <fstream>

#include "weights/stores/safetensors.h"

namespace easel::testing {

ReferenceVectors::ReferenceVectors(const std::string& folder, const std::string& name)
    : weights_(std::make_shared<SafetensorsFile>(folder + "/" + name + ".safetensors")),
      io_(std::make_shared<SafetensorsFile>(folder + "/" + name + ".io.safetensors")) {
  std::ifstream file(folder + "/" + name + ".json");
  notes_ = nlohmann::json::parse(file);
}

at::Tensor ReferenceVectors::tensor(const std::string& name) const {
  return io_->find(name) != nullptr ? io_->read(name) : at::Tensor();
}

::testing::AssertionResult all_near(const at::Tensor& actual, const at::Tensor& expected, double tolerance) {
  if (!actual.defined() || !expected.defined()) return ::testing::AssertionFailure() << "a tensor is undefined";
  if (actual.sizes() != expected.sizes()) {
    return ::testing::AssertionFailure() << "shape " << actual.sizes() << ", expected " << expected.sizes();
  }
  if (!at::isfinite(actual).all().item<bool>()) return ::testing::AssertionFailure() << "not finite";
  const double difference = largest_difference(actual, expected);
  if (difference <= tolerance) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "apart by " << difference << ", at most " << tolerance << " is expected";
}

double largest_difference(const at::Tensor& a, const at::Tensor& b) {
  return a.to(at::kDouble).sub(b.to(at::kDouble)).abs().max().item<double>();
}

}  // namespace easel::testing
