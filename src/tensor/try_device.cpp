#include "tensor/try_device.h"

#include <ATen/ops/conv2d.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/InferenceMode.h>

#include "core/text.h"
#include "easel/error.h"
#include "tensor/compute_capability.h"
#include "tensor/torch_errors.h"

namespace easel {
namespace {

constexpr double kEdge = 8;

/// A number that both kernels have a part in.
double compute(c10::Device device) {
  const auto options = at::TensorOptions().dtype(at::kHalf).device(device);
  const auto edge = static_cast<std::int64_t>(kEdge);
  const auto product = at::matmul(at::ones({edge, edge}, options), at::ones({edge, edge}, options));
  const auto image = product.view({1, 1, edge, edge});
  return at::conv2d(image, at::ones({1, 1, edge, edge}, options)).item<double>();
}

std::string capability_text(c10::Device device) {
  const auto capability = compute_capability(device);
  return capability ? concat(" of compute capability ", capability->major, ".", capability->minor) : "";
}

}  // namespace

void try_device(c10::Device device) {
  if (device.is_cpu()) return;
  const c10::InferenceMode inference;
  const c10::OptionalDeviceGuard guard(device);
  double result = 0;
  try {
    result = with_torch_errors([&] { return compute(device); });
  } catch (const Error& e) {
    if (e.code() == ErrorCode::kResourceExhausted) throw;
    throw Error(ErrorCode::kUnavailable,
                concat(device.str(), capability_text(device), " does not compute with this build of libtorch: ",
                       std::string(e.what()).substr(0, std::string(e.what()).find('\n')),
                       "; docs/guide/gpu.md says which drivers and GPUs each build needs"));
  }
  constexpr double kExpected = kEdge * kEdge * kEdge;
  if (result == kExpected) return;
  throw Error(ErrorCode::kUnavailable,
              concat(device.str(), " computed ", result, " where ", kExpected, " is right; it cannot be used"));
}

}  // namespace easel
