#include "schedulers/schedule/clipping.h"

#include <ATen/ops/clamp.h>

namespace easel {

at::Tensor Clipping::operator()(const at::Tensor& original_sample) const {
  if (thresholding_.enabled()) return thresholding_(original_sample);
  return clip_sample_ ? at::clamp(original_sample, -range_, range_) : original_sample;
}

}  // namespace easel
