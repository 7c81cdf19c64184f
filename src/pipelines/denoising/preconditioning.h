// Preconditioning of models whose input is the noise level and whose output is a part of x0 (Karras et al. 2022,
// arXiv:2206.00364, table 1).
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "easel/scheduler.h"

namespace easel {

/// The noise level of the sample at each of a run's steps, where x = x0 + sigma * eps. float32 [S] on the CPU
/// @throws Error(kInvalidArgument)  the algorithm is not a first-order one on noise levels; param scheduler
at::Tensor run_sigmas(const Scheduler& scheduler);

/// The input of such a model in place of timesteps: log(sigma) / 4.
std::vector<float> log_sigma_conditioning(const at::Tensor& sigmas);

/// x0 from the model's output.
/// @param model_output  [k, C + 1, h, w]; the last channel is a variance, which is not used
/// @param latents       [1, C, h, w], not scaled
/// @param sigma         float32, 0-dim on the CPU
/// @return              [k, C, h, w]
at::Tensor precondition(const at::Tensor& model_output, const at::Tensor& latents, const at::Tensor& sigma);

}  // namespace easel
