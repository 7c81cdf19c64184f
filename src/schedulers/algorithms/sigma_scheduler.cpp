#include "schedulers/algorithms/sigma_scheduler.h"

#include "schedulers/numerics/tensor_math.h"

namespace easel {

at::Tensor SigmaScheduler::scale_model_input(const at::Tensor& sample, std::size_t step_index) const {
  check_step_index(step_index);
  return scale_to_unit_variance(sample, sigma_seen(step_index));
}

at::Tensor SigmaScheduler::add_noise(const at::Tensor& original, const at::Tensor& noise,
                                     std::size_t step_index) const {
  check_step_index(step_index);
  return original + noise * sigma(level_of(step_index)).to(original.scalar_type());
}

}  // namespace easel
