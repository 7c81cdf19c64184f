// PNDM: Liu et al. 2022 (arXiv:2202.09778).
#include <ATen/ops/ones.h>

#include "core/text.h"
#include "easel/error.h"
#include "schedulers/algorithms/algorithms.h"
#include "schedulers/numerics/numpy_math.h"
#include "schedulers/numerics/tensor_math.h"
#include "schedulers/schedule/run.h"
#include "schedulers/schedule/sample_space.h"

namespace easel {
namespace {

constexpr std::size_t kPndmOrder = 4;  // of the multistep method, and of a Runge-Kutta step

// The second inference step is visited twice, for the warm-up: t_n, t_n-1, t_n-1, t_n-2, ..., t_1.
std::vector<std::int64_t> plms_timesteps(const std::vector<std::int64_t>& rising) {
  std::vector<std::int64_t> visited(rising.rbegin(), rising.rend());
  if (visited.size() > 1) visited.insert(visited.begin() + 1, visited[1]);
  return visited;
}

// The first four inference steps and the points halfway between them, in the order in which Runge-Kutta steps visit
// them: a, m, m, b for each step from a over its middle m to b, where b is the next a.
std::vector<std::int64_t> prk_timesteps(const std::vector<std::int64_t>& rising, std::int64_t half_step) {
  std::vector<std::int64_t> points;  // falling: t_n, the point half a step above t_n-1, t_n-1, ..., t_n-3
  for (std::size_t i = 0; i < kPndmOrder; ++i) {
    const auto timestep = rising[rising.size() - 1 - i];
    if (i > 0) points.push_back(timestep + half_step);
    points.push_back(timestep);
  }
  std::vector<std::int64_t> visited;
  for (const auto point : points) visited.insert(visited.end(), 2, point);
  return {visited.begin() + 1, visited.end() - 1};
}

/// Liu et al. 2022 (arXiv:2202.09778): a linear multistep method ("PLMS") after a warm-up. The warm-up is three
/// Runge-Kutta steps of four model evaluations ("PRK"), or with skip_prk_steps a second evaluation of one step, so a
/// run has num_inference_steps + 9 or + 1 steps. Numbers agree with diffusers 0.42.1, scheduling_pndm.py.
class PNDMScheduler final : public Scheduler {
 public:
  PNDMScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<PNDMScheduler>(*this); }
  const std::vector<float>& timesteps() const override { return run_.timesteps(); }
  void set_begin_index(std::size_t first_step) override { run_.begin_at(first_step, order()); }
  at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, std::size_t step_index) const override {
    run_.check_index(step_index);
    return space_.add_noise(original, noise, run_.timestep(step_index));
  }
  /// @throws Error(kInvalidArgument)  also below 4 when PRK steps are not skipped
  void set_timesteps(std::int64_t num_inference_steps) override;
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  // Replaced as a whole at the end of a step; no tensor in it is ever written to.
  struct History {
    std::vector<at::Tensor> ets;  // up to four model outputs, the newest last
    at::Tensor cur_sample;        // the sample where the warm-up started
    at::Tensor cur_model_output;  // weighted sum within one Runge-Kutta step
  };

  // Both compute the next sample and turn `history`, a copy, into what it is after the step.
  at::Tensor step_prk(const at::Tensor& model_output, const at::Tensor& sample, History& history) const;
  at::Tensor step_plms(const at::Tensor& model_output, const at::Tensor& sample, History& history) const;
  at::Tensor prev_sample(const at::Tensor& sample, std::int64_t timestep, std::int64_t prev_timestep,
                         const at::Tensor& model_output) const;

  AlphaSpace space_;
  at::Tensor final_alpha_cumprod_;  // 0-dim; the running product below timestep 0
  bool skip_prk_steps_;
  TimestepSpacing timestep_spacing_;
  std::int64_t steps_offset_;
  std::int64_t step_ratio_ = 0;  // training timesteps from one inference step to the next, rounded down
  std::size_t prk_steps_ = 0;    // length of the Runge-Kutta phase
  Run run_;
  History history_;
};

PNDMScheduler::PNDMScheduler(SchedulerArguments& arguments, const SchedulerOptions&)
    : space_{read_noise_schedule(arguments, ZeroTerminalSnr::kIgnored),
             read_prediction_type(arguments, SupportedPredictions::kEpsilonAndV)},
      final_alpha_cumprod_(arguments.flag("set_alpha_to_one", false) ? at::ones({}, at::kFloat)
                                                                     : space_.schedule.alpha_prod(0)),
      skip_prk_steps_(arguments.flag("skip_prk_steps", false)),
      timestep_spacing_(read_timestep_spacing(arguments, "leading")),
      steps_offset_(read_steps_offset(arguments, timestep_spacing_)) {}

void PNDMScheduler::set_timesteps(std::int64_t num_inference_steps) {
  check_num_inference_steps(num_inference_steps, space_.schedule);
  std::vector<std::int64_t> rising;
  for (const double timestep :
       spaced_timesteps(timestep_spacing_, num_inference_steps, space_.schedule.num_train_timesteps, steps_offset_)) {
    rising.insert(rising.begin(), static_cast<std::int64_t>(numpy::round(timestep)));
  }
  const auto step_ratio = space_.schedule.num_train_timesteps / num_inference_steps;
  std::vector<std::int64_t> visited;
  std::size_t prk_steps = 0;
  if (skip_prk_steps_) {
    visited = plms_timesteps(rising);
    // The second evaluation of the warm-up counts from one step earlier.
    if (visited.size() > 1) check_timestep(visited[1] + step_ratio, space_.schedule);
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
  for (const auto timestep : visited) check_timestep(timestep, space_.schedule);
  run_ = Run({visited.begin(), visited.end()});
  step_ratio_ = step_ratio;
  prk_steps_ = prk_steps;
  history_ = {};
}

Scheduler::Step PNDMScheduler::step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
                                    NoiseSource&) {
  run_.check_next(step_index);
  check_tensors(model_output, sample);
  auto history = history_;
  auto prev_sample = run_.steps_done() < prk_steps_ ? step_prk(model_output, sample, history)
                                                    : step_plms(model_output, sample, history);
  // The reference's PNDM does not return x0; this is DDIM's formula, for previews.
  const auto alpha_prod_t = space_.schedule.alpha_prod(run_.timestep(step_index));
  Step result{std::move(prev_sample), space_.to_x0(model_output, sample, alpha_prod_t)};
  history_ = std::move(history);
  run_.advance();
  return result;
}

at::Tensor PNDMScheduler::step_prk(const at::Tensor& model_output, const at::Tensor& sample, History& history) const {
  const auto counter = run_.steps_done();
  const auto stage = counter % kPndmOrder;
  const auto prev_timestep = run_.timestep(run_.first_step() + counter) - (counter % 2 == 0 ? step_ratio_ / 2 : 0);
  if (stage == 0) {
    history.ets.push_back(model_output);
    history.cur_sample = sample;
  }
  const auto weighted = model_output * (stage == 0 || stage == 3 ? 1.0 / 6 : 1.0 / 3);
  const auto sum = stage == 0 ? weighted + 0 : history.cur_model_output + weighted;
  history.cur_model_output = sum;
  // Counted from the beginning of the run, wherever it was started; as in the reference.
  return prev_sample(history.cur_sample, run_.timestep(counter - stage), prev_timestep,
                     stage == 3 ? sum : model_output);
}

at::Tensor PNDMScheduler::step_plms(const at::Tensor& model_output, const at::Tensor& sample, History& history) const {
  auto& ets = history.ets;
  const auto now = run_.timestep(run_.first_step() + run_.steps_done());
  if (run_.steps_done() == 1 && ets.size() == 1) {
    // The second evaluation of the warm-up: the mean of both slopes, from the sample where it started.
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
  const auto alpha_prod_t = space_.schedule.alpha_prod(timestep);
  const auto alpha_prod_t_prev = prev_timestep >= 0 ? space_.schedule.alpha_prod(prev_timestep) : final_alpha_cumprod_;
  const auto beta_prod_t = one_minus(alpha_prod_t), beta_prod_t_prev = one_minus(alpha_prod_t_prev);
  const auto epsilon = space_.to_epsilon(model_output, sample, alpha_prod_t);
  const auto sample_coeff = square_root(alpha_prod_t_prev / alpha_prod_t);
  const auto denominator =
      alpha_prod_t * square_root(beta_prod_t_prev) + square_root(alpha_prod_t * beta_prod_t * alpha_prod_t_prev);
  return sample_coeff * sample - (alpha_prod_t_prev - alpha_prod_t) * epsilon / denominator;
}

}  // namespace

std::unique_ptr<Scheduler> make_pndm(SchedulerArguments& arguments, const SchedulerOptions& options) {
  return std::make_unique<PNDMScheduler>(arguments, options);
}

}  // namespace easel
