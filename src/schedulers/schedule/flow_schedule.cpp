#include "schedulers/schedule/flow_schedule.h"

#include <ATen/TensorOperators.h>

#include <cmath>

#include "core/text.h"
#include "easel/error.h"
#include "schedulers/numerics/numpy_math.h"
#include "schedulers/numerics/tensor_math.h"
#include "schedulers/schedule/noise_schedule.h"

namespace easel {
namespace {

constexpr std::int64_t kMostTrainTimesteps = 1'000'000;

std::vector<float> values_of(const at::Tensor& levels) {
  const auto* first = levels.const_data_ptr<float>();
  return {first, first + levels.numel()};
}

void check_flow_timesteps(const std::vector<double>& timesteps, std::int64_t num_train_timesteps) {
  const auto refuse = [](const auto&... what) {
    throw Error(ErrorCode::kInvalidArgument, concat("timesteps: ", what...), "timesteps");
  };
  if (timesteps.empty()) refuse("the list is empty");
  for (std::size_t i = 0; i < timesteps.size(); ++i) {
    if (!(timesteps[i] >= 0 && timesteps[i] <= static_cast<double>(num_train_timesteps))) {
      refuse(timesteps[i], " is not in 0 to ", num_train_timesteps);
    }
    if (i > 0 && timesteps[i] >= timesteps[i - 1]) refuse(timesteps[i], " comes after ", timesteps[i - 1]);
  }
}

}  // namespace

FlowSchedule::FlowSchedule(SchedulerArguments& arguments, std::optional<double> mu)
    : num_train_timesteps_(arguments.integer("num_train_timesteps", 1000)),
      use_dynamic_shifting_(arguments.flag("use_dynamic_shifting", false)),
      shift_(arguments.number("shift", 1.0)),
      exponential_time_shift_(
          arguments.choice<bool>("time_shift_type", "exponential", {{"exponential", true}, {"linear", false}})),
      shift_terminal_(arguments.optional_number("shift_terminal").value_or(0.0)),
      invert_sigmas_(arguments.flag("invert_sigmas", false)),
      sigma_spacing_(read_sigma_spacing(arguments)),
      sigma_range_(sigma_spacing_ == SigmaSpacing::kTraining ? SigmaRange{} : read_sigma_range(arguments)),
      mu_(mu) {
  if (num_train_timesteps_ < 2 || num_train_timesteps_ > kMostTrainTimesteps) {
    throw arguments.unsupported("num_train_timesteps", concat("expected 2 to ", kMostTrainTimesteps));
  }
  if (!(shift_ > 0)) throw arguments.corrupt("shift", "expected a number above 0");
  if (!(shift_terminal_ >= 0 && shift_terminal_ < 1)) {
    throw arguments.corrupt("shift_terminal", "expected a number of at least 0 and below 1");
  }
}

Run FlowSchedule::run(std::int64_t num_inference_steps) const {
  check_num_inference_steps(num_inference_steps, {.num_train_timesteps = num_train_timesteps_, .alphas_cumprod = {}});
  // The ends of the training schedule in float32. With a static shift they are already shifted, so that the shift
  // below applies to the smallest one a second time.
  const auto train = static_cast<float>(num_train_timesteps_);
  std::vector<float> ends{train / train, 1.0f / train};
  if (!use_dynamic_shifting_) shift(ends);
  const auto count = static_cast<double>(num_train_timesteps_);
  auto sigmas =
      numpy::linspace(static_cast<double>(ends[0]) * count, static_cast<double>(ends[1]) * count, num_inference_steps);
  for (auto& sigma : sigmas) sigma /= count;
  return with_own_timesteps(placed(std::move(sigmas), "num_inference_steps"));
}

Run FlowSchedule::run_at(const std::vector<double>& timesteps) const {
  check_flow_timesteps(timesteps, num_train_timesteps_);
  std::vector<float> given(timesteps.begin(), timesteps.end()), sigmas;
  for (const float timestep : given) sigmas.push_back(timestep / static_cast<float>(num_train_timesteps_));
  const auto placed_sigmas = placed(std::move(sigmas), "timesteps");
  if (invert_sigmas_) return with_own_timesteps(placed_sigmas);
  return Run(std::move(given), levels(placed_sigmas));
}

Run FlowSchedule::run_at_sigmas(const std::vector<double>& sigmas) const {
  check_custom_sigmas(sigmas);
  return with_own_timesteps(placed(std::vector<float>(sigmas.begin(), sigmas.end()), "sigmas"));
}

template <class Float>
void FlowSchedule::shift(std::vector<Float>& sigmas) const {
  if (!use_dynamic_shifting_) {
    const auto factor = static_cast<Float>(shift_), above_one = static_cast<Float>(shift_ - 1);
    for (auto& sigma : sigmas) sigma = factor * sigma / (1 + above_one * sigma);
    return;
  }
  if (!mu_) {
    throw Error(ErrorCode::kInvalidArgument,
                "`use_dynamic_shifting` of the scheduler's config needs the size of the image, which this model does "
                "not provide",
                "scheduler");
  }
  const auto factor = static_cast<Float>(exponential_time_shift_ ? std::exp(*mu_) : *mu_);
  for (auto& sigma : sigmas) sigma = factor / (factor + (1 / sigma - 1));
}

template <class Float>
std::vector<double> FlowSchedule::placed(std::vector<Float> sigmas, const char* param) const {
  shift(sigmas);
  if (shift_terminal_ > 0) {
    const Float scale = (1 - sigmas.back()) / static_cast<Float>(1 - shift_terminal_);
    for (auto& sigma : sigmas) sigma = 1 - (1 - sigma) / scale;
  }
  const auto sigma_max = sigma_range_.sigma_max.value_or(static_cast<double>(sigmas.front())),
             sigma_min = sigma_range_.sigma_min.value_or(static_cast<double>(sigmas.back()));
  if (sigma_spacing_ == SigmaSpacing::kTraining) return {sigmas.begin(), sigmas.end()};
  if (sigma_spacing_ == SigmaSpacing::kExponential && !(sigma_min > 0)) {
    throw Error(ErrorCode::kUnsupported, concat(param, ": exponential sigmas cannot end at noise level 0"), param);
  }
  return respaced_sigmas(sigma_spacing_, sigma_max, sigma_min, static_cast<std::int64_t>(sigmas.size()));
}

at::Tensor FlowSchedule::levels(const std::vector<double>& sigmas) const {
  const auto tensor = sigma_tensor(sigmas, 0.0);
  return invert_sigmas_ ? one_minus(tensor) : tensor;
}

Run FlowSchedule::with_own_timesteps(const std::vector<double>& sigmas) const {
  const auto all = levels(sigmas);
  const auto visited = all.slice(0, 0, all.size(0) - 1);
  return Run(values_of(visited * static_cast<double>(num_train_timesteps_)), all);
}

at::Tensor flow_noise(const at::Tensor& original, const at::Tensor& noise, const at::Tensor& sigma) {
  return sigma * noise + one_minus(sigma) * original;
}

}  // namespace easel
