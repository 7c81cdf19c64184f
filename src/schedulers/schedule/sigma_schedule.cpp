#include "schedulers/schedule/sigma_schedule.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/max.h>

#include <algorithm>
#include <cmath>

#include "core/text.h"
#include "schedulers/numerics/beta_distribution.h"
#include "schedulers/numerics/numpy_math.h"
#include "schedulers/numerics/tensor_math.h"

namespace easel {
namespace {

constexpr double kRho = 7.0;              // Karras et al., section 3
constexpr double kSmallestSigma = 1e-10;  // the reference's guard against log(0)

// The reference adds the three flags up, which fails on None.
bool flag_that_is_not_null(SchedulerArguments& arguments, const char* key) {
  if (arguments.is_null(key)) throw arguments.corrupt(key, "expected true or false");
  return arguments.flag(key, false);
}

std::optional<double> positive(SchedulerArguments& arguments, const char* key) {
  const auto sigma = arguments.optional_number(key);
  if (sigma && *sigma <= 0) throw arguments.corrupt(key, "expected a positive number");
  return sigma;
}

std::vector<double> karras_sigmas(double sigma_max, double sigma_min, std::int64_t count) {
  const double min_inv_rho = std::pow(sigma_min, 1 / kRho), max_inv_rho = std::pow(sigma_max, 1 / kRho);
  auto sigmas = numpy::linspace(0, 1, count);
  for (auto& sigma : sigmas) sigma = std::pow(max_inv_rho + sigma * (min_inv_rho - max_inv_rho), kRho);
  return sigmas;
}

std::vector<double> exponential_sigmas(double sigma_max, double sigma_min, std::int64_t count) {
  auto sigmas = numpy::linspace(std::log(sigma_max), std::log(sigma_min), count);
  for (auto& sigma : sigmas) sigma = std::exp(sigma);
  return sigmas;
}

std::vector<double> beta_sigmas(double sigma_max, double sigma_min, std::int64_t count) {
  auto sigmas = numpy::linspace(0, 1, count);
  for (auto& sigma : sigmas) sigma = sigma_min + beta_sigma_quantile(1 - sigma) * (sigma_max - sigma_min);
  return sigmas;
}

// A sigma between two training timesteps: `low`, and the next one with this weight.
template <class Float>
struct Interpolation {
  std::size_t low;
  Float weight;

  template <class Sum>
  Sum timestep() const {
    return static_cast<Sum>(1 - weight) * static_cast<Sum>(low) + static_cast<Sum>(weight) * static_cast<Sum>(low + 1);
  }
};

template <class Float>
Interpolation<Float> interpolate(Float log_sigma, std::span<const float> log_sigmas) {
  std::size_t low = 0;  // the last training sigma that is not larger
  for (std::size_t i = 0; i < log_sigmas.size(); ++i) {
    if (log_sigma >= static_cast<Float>(log_sigmas[i])) low = i;
  }
  low = std::min(low, log_sigmas.size() - 2);
  const float low_to_high = log_sigmas[low] - log_sigmas[low + 1];
  return {low, std::clamp<Float>((log_sigmas[low] - log_sigma) / low_to_high, 0, 1)};
}

Interpolation<float> interpolate_float32(float sigma, std::span<const float> log_sigmas) {
  return interpolate(numpy::log(std::max(sigma, static_cast<float>(kSmallestSigma))), log_sigmas);
}

}  // namespace

SigmaSpacing read_sigma_spacing(SchedulerArguments& arguments) {
  static constexpr std::pair<const char*, SigmaSpacing> kFlags[] = {
      {"use_karras_sigmas", SigmaSpacing::kKarras},
      {"use_exponential_sigmas", SigmaSpacing::kExponential},
      {"use_beta_sigmas", SigmaSpacing::kBeta},
  };
  auto spacing = SigmaSpacing::kTraining;
  const char* first = nullptr;
  for (const auto& [key, meaning] : kFlags) {
    if (!flag_that_is_not_null(arguments, key)) continue;
    if (first != nullptr) throw arguments.unsupported(key, concat(first, " is also true"));
    first = key;
    spacing = meaning;
  }
  return spacing;
}

void require_training_sigmas(SigmaSpacing spacing) {
  if (spacing == SigmaSpacing::kTraining) return;
  throw Error(ErrorCode::kUnsupported, "custom timesteps cannot be combined with Karras, exponential or beta sigmas",
              "timesteps");
}

SigmaRange read_sigma_range(SchedulerArguments& arguments) {
  return {positive(arguments, "sigma_min"), positive(arguments, "sigma_max")};
}

FinalSigma read_final_sigma(SchedulerArguments& arguments) {
  return arguments.choice<FinalSigma>("final_sigmas_type", "zero",
                                      {{"zero", FinalSigma::kZero}, {"sigma_min", FinalSigma::kSigmaMin}});
}

std::vector<double> respaced_sigmas(SigmaSpacing spacing, double sigma_max, double sigma_min,
                                    std::int64_t num_inference_steps) {
  switch (spacing) {
    case SigmaSpacing::kKarras:
      return karras_sigmas(sigma_max, sigma_min, num_inference_steps);
    case SigmaSpacing::kExponential:
      return exponential_sigmas(sigma_max, sigma_min, num_inference_steps);
    case SigmaSpacing::kBeta:
      return beta_sigmas(sigma_max, sigma_min, num_inference_steps);
    case SigmaSpacing::kTraining:
      break;
  }
  throw Error(ErrorCode::kInternal, "training sigmas are not respaced");
}

std::vector<float> log_of(std::span<const float> sigmas) {
  std::vector<float> logarithms;
  for (const float sigma : sigmas) logarithms.push_back(numpy::log(sigma));
  return logarithms;
}

double sigma_to_timestep(double sigma, std::span<const float> log_sigmas) {
  return interpolate(std::log(std::max(sigma, kSmallestSigma)), log_sigmas).timestep<double>();
}

double array_sigma_to_timestep(float sigma, std::span<const float> log_sigmas) {
  return interpolate_float32(sigma, log_sigmas).timestep<double>();
}

float tensor_sigma_to_timestep(float sigma, std::span<const float> log_sigmas) {
  return interpolate_float32(sigma, log_sigmas).timestep<float>();
}

std::vector<double> sigmas_to_timesteps(const std::vector<double>& sigmas, std::span<const float> log_sigmas) {
  std::vector<double> timesteps;
  for (const double sigma : sigmas) timesteps.push_back(sigma_to_timestep(sigma, log_sigmas));
  return timesteps;
}

at::Tensor sigma_tensor(const std::vector<double>& sigmas, double final_sigma) {
  auto tensor = at::empty({static_cast<std::int64_t>(sigmas.size()) + 1}, at::kFloat);
  auto* out = std::copy(sigmas.begin(), sigmas.end(), tensor.mutable_data_ptr<float>());
  *out = static_cast<float>(final_sigma);
  return tensor;
}

double initial_noise_sigma(const at::Tensor& sigmas, TimestepSpacing spacing) {
  const auto largest = at::max(sigmas);
  const auto factor = spacing == TimestepSpacing::kLeading ? square_root(square(largest) + 1) : largest;
  return static_cast<double>(*factor.const_data_ptr<float>());
}

}  // namespace easel
