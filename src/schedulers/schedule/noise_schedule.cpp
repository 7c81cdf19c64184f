#include "schedulers/schedule/noise_schedule.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/cumprod.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/linspace.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/sqrt.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/text.h"
#include "schedulers/numerics/numpy_math.h"
#include "schedulers/numerics/tensor_math.h"

namespace easel {
namespace {

// Far above that of any model, and low enough that a hostile config cannot ask for much memory.
constexpr std::int64_t kMaxTrainTimesteps = 1'000'000;
// The smallest positive float16, with which the reference replaces an alphas_cumprod of 0.
constexpr double kNearlyZeroAlpha = 0x1p-24;

enum class BetaSchedule { kLinear, kScaledLinear, kSquaredcosCapV2 };

at::Tensor float32_tensor(const std::vector<double>& values) {
  const std::vector<float> rounded(values.begin(), values.end());
  return at::from_blob(const_cast<float*>(rounded.data()), {static_cast<std::int64_t>(rounded.size())}, at::kFloat)
      .clone();
}

// Betas whose running product follows alpha_bar(t), t from 0 to 1.
template <class AlphaBar>
at::Tensor betas_for(const AlphaBar& alpha_bar, std::int64_t count) {
  constexpr double kMaxBeta = 0.999;
  std::vector<double> betas;
  for (std::int64_t i = 0; i < count; ++i) {
    const double t1 = static_cast<double>(i) / static_cast<double>(count);
    const double t2 = static_cast<double>(i + 1) / static_cast<double>(count);
    betas.push_back(std::min(1 - alpha_bar(t2) / alpha_bar(t1), kMaxBeta));
  }
  return float32_tensor(betas);
}

// Nichol and Dhariwal 2021 (arXiv:2102.09672)
double cosine_alpha_bar(double t) {
  return std::pow(std::cos((t + 0.008) / 1.008 * std::numbers::pi / 2), 2.0);
}

double exp_alpha_bar(double t) {
  return std::exp(t * -12.0);
}

// Hang and Gu 2024 (arXiv:2407.03297): the log-SNR follows Laplace's distribution.
double laplace_alpha_bar(double t) {
  const double log_snr = -0.5 * std::copysign(1.0, 0.5 - t) * std::log(1 - 2 * std::fabs(0.5 - t) + 1e-6);
  const double snr = std::exp(log_snr);
  return std::sqrt(snr / (1 + snr));
}

struct BetaRange {
  double start, end;
};

BetaRange read_beta_range(SchedulerArguments& arguments, const NoiseScheduleDefaults& defaults) {
  return {arguments.number("beta_start", defaults.beta_start), arguments.number("beta_end", defaults.beta_end)};
}

at::Tensor linear_betas(BetaRange range, std::int64_t count) {
  return at::linspace(range.start, range.end, count, at::kFloat);
}

at::Tensor scaled_linear_betas(SchedulerArguments& arguments, BetaRange range, std::int64_t count) {
  if (range.start < 0) throw arguments.corrupt("beta_start", "scaled_linear takes its square root");
  if (range.end < 0) throw arguments.corrupt("beta_end", "scaled_linear takes its square root");
  return square(linear_betas({std::pow(range.start, 0.5), std::pow(range.end, 0.5)}, count));
}

at::Tensor sigmoid_betas(BetaRange range, std::int64_t count) {
  return at::sigmoid(at::linspace(-6, 6, count, at::kFloat)) * (range.end - range.start) + range.start;
}

at::Tensor read_betas(SchedulerArguments& arguments, const NoiseScheduleDefaults& defaults, std::int64_t count) {
  if (const auto trained = arguments.optional_numbers("trained_betas")) {
    if (trained->size() < 2) throw arguments.corrupt("trained_betas", "expected at least 2 numbers");
    return float32_tensor(*trained);
  }
  const auto name = arguments.name("beta_schedule", defaults.beta_schedule);
  if (defaults.supports_exp && name == "exp") return betas_for(exp_alpha_bar, count);
  if (defaults.supports_sigmoid_and_laplace && name == "laplace") return betas_for(laplace_alpha_bar, count);
  if (defaults.supports_sigmoid_and_laplace && name == "sigmoid") {
    return sigmoid_betas(read_beta_range(arguments, defaults), count);
  }
  switch (arguments.choice<BetaSchedule>("beta_schedule", defaults.beta_schedule,
                                         {{"linear", BetaSchedule::kLinear},
                                          {"scaled_linear", BetaSchedule::kScaledLinear},
                                          {"squaredcos_cap_v2", BetaSchedule::kSquaredcosCapV2}})) {
    case BetaSchedule::kLinear:
      return linear_betas(read_beta_range(arguments, defaults), count);
    case BetaSchedule::kScaledLinear:
      return scaled_linear_betas(arguments, read_beta_range(arguments, defaults), count);
    case BetaSchedule::kSquaredcosCapV2:
      return betas_for(cosine_alpha_bar, count);
  }
  throw Error(ErrorCode::kInternal, "no such beta schedule");
}

at::Tensor rescale_to_zero_terminal_snr(const at::Tensor& betas) {
  auto alphas_bar_sqrt = at::sqrt(at::cumprod(one_minus(betas), 0));
  const auto first = alphas_bar_sqrt.select(0, 0), last = alphas_bar_sqrt.select(0, -1);
  alphas_bar_sqrt = (alphas_bar_sqrt - last) * (first / (first - last));
  const auto alphas_bar = square(alphas_bar_sqrt);
  const auto alphas = alphas_bar.slice(0, 1) / alphas_bar.slice(0, 0, -1);
  return one_minus(at::cat({alphas_bar.slice(0, 0, 1), alphas}));
}

}  // namespace

at::Tensor NoiseSchedule::add_noise(const at::Tensor& original, const at::Tensor& noise, std::int64_t timestep) const {
  const auto alpha_prod_t = alpha_prod(timestep).to(original.scalar_type());
  return square_root(alpha_prod_t) * original + square_root(one_minus(alpha_prod_t)) * noise;
}

std::vector<float> NoiseSchedule::sigmas() const {
  const auto sigmas = square_root(one_minus(alphas_cumprod) / alphas_cumprod).contiguous();
  return {sigmas.const_data_ptr<float>(), sigmas.const_data_ptr<float>() + sigmas.numel()};
}

NoiseSchedule read_noise_schedule(SchedulerArguments& arguments, ZeroTerminalSnr zero_terminal_snr,
                                  const NoiseScheduleDefaults& defaults) {
  NoiseSchedule schedule;
  schedule.num_train_timesteps = arguments.integer("num_train_timesteps", 1000);
  if (schedule.num_train_timesteps < 2 || schedule.num_train_timesteps > kMaxTrainTimesteps) {
    throw arguments.unsupported("num_train_timesteps", concat("expected 2 to ", kMaxTrainTimesteps));
  }
  auto betas = read_betas(arguments, defaults, schedule.num_train_timesteps);
  const bool rescale =
      zero_terminal_snr != ZeroTerminalSnr::kIgnored && arguments.flag("rescale_betas_zero_snr", false);
  if (rescale) betas = rescale_to_zero_terminal_snr(betas);
  schedule.alphas_cumprod = at::cumprod(one_minus(betas), 0);
  if (rescale && zero_terminal_snr == ZeroTerminalSnr::kNearlyZero) {
    schedule.alphas_cumprod.select(0, -1).fill_(kNearlyZeroAlpha);
  }
  return schedule;
}

TimestepSpacing read_timestep_spacing(SchedulerArguments& arguments, const std::string& fallback) {
  return arguments.choice<TimestepSpacing>("timestep_spacing", fallback,
                                           {{"linspace", TimestepSpacing::kLinspace},
                                            {"leading", TimestepSpacing::kLeading},
                                            {"trailing", TimestepSpacing::kTrailing}});
}

std::int64_t read_steps_offset(SchedulerArguments& arguments, TimestepSpacing spacing) {
  if (spacing != TimestepSpacing::kLeading) return 0;
  const auto steps_offset = arguments.integer("steps_offset", 0);
  if (steps_offset < -kMaxTrainTimesteps || steps_offset > kMaxTrainTimesteps) {
    throw arguments.unsupported("steps_offset", concat("expected at most ", kMaxTrainTimesteps));
  }
  return steps_offset;
}

std::vector<double> spaced_timesteps(TimestepSpacing spacing, std::int64_t num_inference_steps,
                                     std::int64_t num_train_timesteps, std::int64_t steps_offset) {
  std::vector<double> timesteps;
  const auto train = static_cast<double>(num_train_timesteps);
  switch (spacing) {
    case TimestepSpacing::kLinspace:
      timesteps = numpy::linspace(0, train - 1, num_inference_steps);
      std::reverse(timesteps.begin(), timesteps.end());
      break;
    case TimestepSpacing::kLeading: {
      const auto step_ratio = num_train_timesteps / num_inference_steps;
      for (auto i = num_inference_steps; i-- > 0;)
        timesteps.push_back(static_cast<double>(i * step_ratio + steps_offset));
      break;
    }
    case TimestepSpacing::kTrailing:
      timesteps = numpy::arange(train, 0, -(train / static_cast<double>(num_inference_steps)));
      for (auto& timestep : timesteps) timestep = numpy::round(timestep) - 1;
      break;
  }
  return timesteps;
}

std::vector<float> whole_spaced_timesteps(TimestepSpacing spacing, std::int64_t num_inference_steps,
                                          const NoiseSchedule& schedule, std::int64_t steps_offset) {
  check_num_inference_steps(num_inference_steps, schedule);
  std::vector<float> timesteps;
  for (const double timestep :
       spaced_timesteps(spacing, num_inference_steps, schedule.num_train_timesteps, steps_offset)) {
    timesteps.push_back(static_cast<float>(numpy::round(timestep)));
    check_timestep(static_cast<std::int64_t>(timesteps.back()), schedule);
  }
  return timesteps;
}

std::vector<float> whole_custom_timesteps(const std::vector<double>& timesteps, const NoiseSchedule& schedule) {
  check_custom_timesteps(timesteps, schedule);
  std::vector<float> whole;
  for (const double timestep : timesteps) whole.push_back(static_cast<float>(std::trunc(timestep)));
  return whole;
}

void check_num_inference_steps(std::int64_t num_inference_steps, const NoiseSchedule& schedule) {
  if (num_inference_steps >= 1 && num_inference_steps <= schedule.num_train_timesteps) return;
  throw Error(ErrorCode::kInvalidArgument,
              concat("num_inference_steps is ", num_inference_steps, ", expected 1 to ", schedule.num_train_timesteps,
                     ", the number of timesteps the model was trained with"),
              "num_inference_steps");
}

void check_custom_timesteps(const std::vector<double>& timesteps, const NoiseSchedule& schedule) {
  const auto refuse = [](const auto&... what) {
    throw Error(ErrorCode::kInvalidArgument, concat("timesteps: ", what...), "timesteps");
  };
  const auto last = static_cast<double>(std::min(schedule.num_train_timesteps, schedule.alphas_cumprod.size(0)) - 1);
  if (timesteps.empty()) refuse("the list is empty");
  for (std::size_t i = 0; i < timesteps.size(); ++i) {
    if (!(timesteps[i] >= 0 && timesteps[i] <= last)) refuse(timesteps[i], " is not in 0 to ", last);
    if (i > 0 && timesteps[i] >= timesteps[i - 1]) refuse(timesteps[i], " comes after ", timesteps[i - 1]);
  }
}

void check_custom_sigmas(const std::vector<double>& sigmas) {
  const auto refuse = [](const auto&... what) {
    throw Error(ErrorCode::kInvalidArgument, concat("sigmas: ", what...), "sigmas");
  };
  if (sigmas.empty() || sigmas.size() > static_cast<std::size_t>(kMaxTrainTimesteps)) {
    refuse("the list has ", sigmas.size(), " numbers, expected 1 to ", kMaxTrainTimesteps);
  }
  for (std::size_t i = 0; i < sigmas.size(); ++i) {
    if (!(sigmas[i] >= 0 && std::isfinite(sigmas[i]))) refuse(sigmas[i], " is not a noise level");
    if (i > 0 && sigmas[i] >= sigmas[i - 1]) refuse(sigmas[i], " comes after ", sigmas[i - 1]);
  }
}

void check_timestep(std::int64_t timestep, const NoiseSchedule& schedule) {
  const auto length = schedule.alphas_cumprod.size(0);
  if (timestep >= -length && timestep < length) return;
  throw Error(ErrorCode::kInvalidArgument,
              concat("with this num_inference_steps and the model's steps_offset the run visits timestep ", timestep,
                     ", outside the ", length, " of the noise schedule"),
              "num_inference_steps");
}

}  // namespace easel
