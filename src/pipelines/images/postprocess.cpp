#include "pipelines/images/postprocess.h"

#include <ATen/TensorOperators.h>

namespace easel {

at::Tensor to_pixels(const at::Tensor& decoded) {
  const auto unit = (decoded * 0.5 + 0.5).clamp(0, 1);  // in the model's dtype, as the reference
  const auto pixels = unit.permute({0, 2, 3, 1}).to(at::kFloat).mul(255).round().to(at::kByte).contiguous();
  return pixels.to(at::kCPU, /*non_blocking=*/true);
}

Image to_image(const at::Tensor& pixels) {
  const auto* first = pixels.const_data_ptr<std::uint8_t>();
  return Image{.width = static_cast<int>(pixels.size(2)),
               .height = static_cast<int>(pixels.size(1)),
               .pixels = std::vector<std::uint8_t>(first, first + pixels.numel())};
}

}  // namespace easel
