// UniPC.
#pragma once

#include "schedulers/algorithms/dpmsolver_scheduler.h"

namespace easel {

/// Zhao et al. 2023 (arXiv:2302.04867): a multistep predictor of any order, and a corrector that takes the step to this
/// noise level again with the model output found at it, without another evaluation. Numbers agree with diffusers
/// 0.42.1, scheduling_unipc_multistep.py.
class UniPCMultistepScheduler final : public DpmSolverScheduler {
 public:
  UniPCMultistepScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<UniPCMultistepScheduler>(*this); }
  void set_custom_sigmas(const std::vector<double>& sigmas) override;
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  enum class StepSize { kBh1, kBh2 };  // B(h) of the paper: h, or exp(h) - 1

  // One step from a level to the next, as far as it is known before the model output there: the divided differences of
  // older outputs, and what their weights solve.
  struct Update {
    at::Tensor moved;  // [B, C, h, w], the first order's result
    at::Tensor scale;  // 0-dim, what the weighted differences are subtracted with
    std::vector<at::Tensor> differences;
    at::Tensor matrix;           // [order, order], powers of the steps' ratios
    at::Tensor right_hand_side;  // [order]
  };

  void begin(DpmSolverSchedule::Run run) override;
  at::Tensor converted(const at::Tensor& model_output, const at::Tensor& sample, std::size_t step_index) const;
  Update update(const std::vector<at::Tensor>& outputs, const at::Tensor& sample, std::size_t from, int order) const;
  at::Tensor predict(const std::vector<at::Tensor>& outputs, const at::Tensor& sample, std::size_t step_index,
                     int order) const;
  at::Tensor correct(const at::Tensor& output, const at::Tensor& sample, std::size_t step_index) const;
  bool corrects_before(std::size_t step_index) const;
  int order_of(std::size_t step_index) const;

  bool predict_x0_;
  StepSize step_size_;
  std::vector<double> disable_corrector_;  // after these steps
  // History, beside the model outputs, which are x0 or noise, as predict_x0 says.
  at::Tensor last_sample_;  // where the last step started, corrected
  int last_order_ = 0;
};

}  // namespace easel
