#include "schedulers/schedule/clipping.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/quantile.h>

namespace easel {

DynamicThresholding::DynamicThresholding(SchedulerArguments& arguments)
    : enabled_(arguments.flag("thresholding", false)) {
  if (!enabled_) return;
  ratio_ = arguments.number("dynamic_thresholding_ratio", 0.995);
  sample_max_value_ = arguments.number("sample_max_value", 1.0);
  if (ratio_ < 0 || ratio_ > 1) throw arguments.corrupt("dynamic_thresholding_ratio", "expected 0 to 1");
}

at::Tensor DynamicThresholding::operator()(const at::Tensor& sample) const {
  const auto flat = sample.to(at::kFloat).reshape({sample.size(0), -1});  // quantile does not support half precision
  const auto quantile = at::quantile(at::abs(flat), ratio_, /*dim=*/1);
  const auto limit = at::clamp(quantile, 1, sample_max_value_).unsqueeze(1);  // [B, 1]
  return (at::clamp(flat, -limit, limit) / limit).reshape(sample.sizes()).to(sample.scalar_type());
}

at::Tensor Clipping::operator()(const at::Tensor& original_sample) const {
  if (thresholding_.enabled()) return thresholding_(original_sample);
  return clip_sample_ ? at::clamp(original_sample, -range_, range_) : original_sample;
}

}  // namespace easel
