#include "pipelines/denoising/preconditioning.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/log.h>
#include <ATen/ops/tensor.h>

#include "easel/error.h"

namespace easel {
namespace {

float first_number(const at::Tensor& tensor) {
  return *tensor.const_data_ptr<float>();
}

[[noreturn]] void reject_scheduler() {
  throw Error(ErrorCode::kInvalidArgument, "this model needs an algorithm of first order on noise levels, as Euler is",
              "scheduler");
}

}  // namespace

at::Tensor run_sigmas(const Scheduler& scheduler) {
  if (scheduler.order() != 1) reject_scheduler();
  std::vector<float> sigmas;
  for (std::size_t i = 0; i < scheduler.timesteps().size(); ++i) {
    const auto sigma = scheduler.sigma(i);
    if (!sigma) reject_scheduler();
    sigmas.push_back(*sigma);
  }
  return at::tensor(sigmas, at::kFloat);
}

std::vector<float> log_sigma_conditioning(const at::Tensor& sigmas) {
  std::vector<float> conditioning;
  // One at a time, as in the reference.
  for (std::int64_t i = 0; i < sigmas.size(0); ++i)
    conditioning.push_back(first_number(at::log(sigmas.select(0, i)) * 0.25));
  return conditioning;
}

at::Tensor precondition(const at::Tensor& model_output, const at::Tensor& latents, const at::Tensor& sigma) {
  const auto inv_sigma = 1 / (sigma.square() + 1);
  const auto scaled_sigma = sigma / (sigma.square() + 1).sqrt();
  return inv_sigma * latents + scaled_sigma * model_output.narrow(1, 0, model_output.size(1) - 1);
}

}  // namespace easel
