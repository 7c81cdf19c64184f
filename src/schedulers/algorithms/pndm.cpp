#include "schedulers/algorithms/pndm.h"

#include <ATen/ops/ones.h>

#include <algorithm>

#include "core/text.h"
#include "schedulers/numerics/numpy_math.h"
#include "schedulers/numerics/tensor_math.h"

namespace easel {
namespace {

constexpr std::size_t kPndmOrder = 4;  // of the multistep method, and of a Runge-Kutta step

// Every inference step but the first, then that of the warm-up once more: t_n, t_n-1, t_n-1, t_n-2, ..., t_1.
std::vector<std::int64_t> plms_timesteps(const std::vector<std::int64_t>& rising) {
  std::vector<std::int64_t> visited(rising.rbegin(), rising.rend());
  if (visited.size() > 1) visited.insert(visited.begin() + 1, visited[1]);
  return visited;
}

// The newest four inference steps and the points half-way between them, as Runge-Kutta steps visit them: a, m, m, b for
// each step from a over its middle m to b, where b is the next a.
std::vector<std::int64_t> prk_timesteps(const std::vector<std::int64_t>& rising, std::int64_t half_step) {
  std::vector<std::int64_t> points;  // falling: t_n, half-way above t_n-1, t_n-1, ..., t_n-3
  for (std::size_t i = 0; i < kPndmOrder; ++i) {
    const auto timestep = rising[rising.size() - 1 - i];
    if (i > 0) points.push_back(timestep + half_step);
    points.push_back(timestep);
  }
  std::vector<std::int64_t> visited;
  for (const auto point : points) visited.insert(visited.end(), 2, point);
  return {visited.begin() + 1, visited.end() - 1};
}

}  // namespace

PNDMScheduler::PNDMScheduler(SchedulerArguments& arguments, const SchedulerOptions&)
    : AlphaScheduler(read_noise_schedule(arguments, ZeroTerminalSnr::kIgnored),
                     read_prediction_type(arguments, SupportedPredictions::kEpsilonAndV)),
      final_alpha_cumprod_(arguments.flag("set_alpha_to_one", false) ? at::ones({}, at::kFloat)
                                                                     : schedule_.alpha_prod(0)),
      skip_prk_steps_(arguments.flag("skip_prk_steps", false)),
      timestep_spacing_(read_timestep_spacing(arguments, "leading")),
      steps_offset_(read_steps_offset(arguments, timestep_spacing_)) {}

void PNDMScheduler::set_timesteps(std::int64_t num_inference_steps) {
  check_num_inference_steps(num_inference_steps, schedule_);
  std::vector<std::int64_t> rising;
  for (const double timestep :
       spaced_timesteps(timestep_spacing_, num_inference_steps, schedule_.num_train_timesteps, steps_offset_)) {
    rising.insert(rising.begin(), static_cast<std::int64_t>(numpy::round(timestep)));
  }
  const auto step_ratio = schedule_.num_train_timesteps / num_inference_steps;
  std::vector<std::int64_t> visited;
  std::size_t prk_steps = 0;
  if (skip_prk_steps_) {
    visited = plms_timesteps(rising);
    // The second evaluation of the warm-up counts from one step earlier.
    if (visited.size() > 1) check_timestep(visited[1] + step_ratio, schedule_);
  } else {
    if (rising.size() < kPndmOrder) {
      throw Error(ErrorCode::kInvalidArgument,
                  concat("num_inference_steps is ", num_inference_steps, ", expected at least ", kPndmOrder,
                         ": this model's PNDM does not skip its Runge-Kutta steps"),
                  "num_inference_steps");
    }
    visited = prk_timesteps(rising, step_ratio / 2);
    prk_steps = visited.size();
    visited.insert(visited.end(), rising.rbegin() + (kPndmOrder - 1), rising.rend());
  }
  for (const auto timestep : visited) check_timestep(timestep, schedule_);
  timesteps_.assign(visited.begin(), visited.end());
  step_ratio_ = step_ratio;
  prk_steps_ = prk_steps;
  history_ = {};
}

Scheduler::Step PNDMScheduler::step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
                                    NoiseSource&) {
  check_step_index(step_index);
  check_step_order(step_index, history_.steps_done);
  check_tensors(model_output, sample);
  auto history = history_;
  auto prev_sample = history.steps_done < prk_steps_ ? step_prk(model_output, sample, history)
                                                     : step_plms(model_output, sample, history);
  // The reference's PNDM gives no x0; this is DDIM's formula, for previews.
  const auto alpha_prod_t = schedule_.alpha_prod(timestep(step_index));
  Step result{std::move(prev_sample), original_sample_from(model_output, sample, alpha_prod_t)};
  ++history.steps_done;
  history_ = std::move(history);
  return result;
}

at::Tensor PNDMScheduler::step_prk(const at::Tensor& model_output, const at::Tensor& sample, History& history) const {
  const auto counter = history.steps_done;
  const auto stage = counter % kPndmOrder;
  const auto prev_timestep = timestep(first_step() + counter) - (counter % 2 == 0 ? step_ratio_ / 2 : 0);
  if (stage == 0) {
    history.ets.push_back(model_output);
    history.cur_sample = sample;
  }
  const auto weighted = model_output * (stage == 0 || stage == 3 ? 1.0 / 6 : 1.0 / 3);
  const auto sum = stage == 0 ? weighted + 0 : history.cur_model_output + weighted;
  history.cur_model_output = sum;
  // Counted from the beginning of the run, wherever it was started; as in the reference.
  return prev_sample(history.cur_sample, timestep(counter - stage), prev_timestep, stage == 3 ? sum : model_output);
}

at::Tensor PNDMScheduler::step_plms(const at::Tensor& model_output, const at::Tensor& sample, History& history) const {
  auto& ets = history.ets;
  const auto now = timestep(first_step() + history.steps_done);
  if (history.steps_done == 1 && ets.size() == 1) {
    // The warm-up's second look: the mean of both slopes, from where it started.
    return prev_sample(history.cur_sample, now + step_ratio_, now, (model_output + ets[0]) / 2);
  }
  if (ets.size() == kPndmOrder) ets.erase(ets.begin());
  ets.push_back(model_output);
  const auto prev_timestep = now - step_ratio_;
  const auto et = [&](std::size_t age) { return ets[ets.size() - 1 - age]; };  // 0 is the newest
  switch (ets.size()) {
    case 1:
      history.cur_sample = sample;
      return prev_sample(sample, now, prev_timestep, model_output);
    case 2:
      return prev_sample(sample, now, prev_timestep, (et(0) * 3 - et(1)) / 2);
    case 3:
      return prev_sample(sample, now, prev_timestep, (et(0) * 23 - et(1) * 16 + et(2) * 5) / 12);
    default:
      return prev_sample(sample, now, prev_timestep, (et(0) * 55 - et(1) * 59 + et(2) * 37 - et(3) * 9) * (1.0 / 24));
  }
}

// Equation 9 of the paper.
at::Tensor PNDMScheduler::prev_sample(const at::Tensor& sample, std::int64_t timestep, std::int64_t prev_timestep,
                                      const at::Tensor& model_output) const {
  const auto alpha_prod_t = schedule_.alpha_prod(timestep);
  const auto alpha_prod_t_prev = prev_timestep >= 0 ? schedule_.alpha_prod(prev_timestep) : final_alpha_cumprod_;
  const auto beta_prod_t = one_minus(alpha_prod_t), beta_prod_t_prev = one_minus(alpha_prod_t_prev);
  const auto epsilon = epsilon_from(model_output, sample, alpha_prod_t);
  const auto sample_coeff = square_root(alpha_prod_t_prev / alpha_prod_t);
  const auto denominator =
      alpha_prod_t * square_root(beta_prod_t_prev) + square_root(alpha_prod_t * beta_prod_t * alpha_prod_t_prev);
  return sample_coeff * sample - (alpha_prod_t_prev - alpha_prod_t) * epsilon / denominator;
}

}  // namespace easel
