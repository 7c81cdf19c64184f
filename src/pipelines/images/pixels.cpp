#include "pipelines/images/pixels.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <vector>

#include "core/text.h"
#include "easel/error.h"
#include "image/pillow_luma.h"
#include "image/pillow_resize.h"

namespace easel {

void validate_image(const Image& image, const char* param) {
  const auto size =
      static_cast<std::size_t>(std::max(image.width, 0)) * static_cast<std::size_t>(std::max(image.height, 0));
  if (size > 0 && image.pixels.size() == size * kImageChannels) return;
  throw Error(ErrorCode::kInvalidArgument,
              concat("`", param, "` has ", image.pixels.size(), " bytes for ", image.width, " x ", image.height,
                     " pixels of 3"),
              param);
}

Image resize_to_generated(const Image& image, const Canvas& canvas) {
  return pillow_resize(image, canvas.generated_width, canvas.generated_height, PillowFilter::kLanczos);
}

at::Tensor to_tensor(const Image& image) {
  const auto bytes = at::from_blob(const_cast<std::uint8_t*>(image.pixels.data()),
                                   {1, image.height, image.width, kImageChannels}, at::kByte);
  return (bytes.permute({0, 3, 1, 2}).to(at::kFloat) / 255 * 2 - 1).contiguous();
}

at::Tensor to_mask(const Image& image) {
  auto mask = at::empty({1, 1, image.height, image.width}, at::kFloat);
  auto* out = mask.mutable_data_ptr<float>();
  for (std::size_t i = 0; i < image.pixels.size(); i += kImageChannels) {
    *out++ = pillow_luma(&image.pixels[i]) >= 128 ? 1.0f : 0.0f;
  }
  return mask;
}

at::Tensor to_pixels(const at::Tensor& decoded) {
  const auto unit = (decoded * 0.5 + 0.5).clamp(0, 1);  // in the model's dtype, as in the reference
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
