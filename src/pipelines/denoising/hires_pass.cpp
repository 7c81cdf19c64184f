#include "pipelines/denoising/hires_pass.h"

#include <ATen/ops/_upsample_bicubic2d_aa.h>
#include <ATen/ops/_upsample_bilinear2d_aa.h>
#include <ATen/ops/_upsample_nearest_exact2d.h>
#include <ATen/ops/upsample_bicubic2d.h>
#include <ATen/ops/upsample_bilinear2d.h>
#include <ATen/ops/upsample_nearest2d.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <utility>
#include <vector>

#include "image/pillow_resize.h"

namespace easel {
namespace {

at::Tensor interpolate(const at::Tensor& latents, std::int64_t height, std::int64_t width, HiresUpscaler upscaler) {
  const std::int64_t size[] = {height, width};
  constexpr bool kAlignCorners = false;
  switch (upscaler) {
    case HiresUpscaler::kLatentAntialiased:
      return at::_upsample_bilinear2d_aa(latents, size, kAlignCorners, std::nullopt, std::nullopt);
    case HiresUpscaler::kLatentBicubic:
      return at::upsample_bicubic2d(latents, size, kAlignCorners, std::nullopt, std::nullopt);
    case HiresUpscaler::kLatentBicubicAntialiased:
      return at::_upsample_bicubic2d_aa(latents, size, kAlignCorners, std::nullopt, std::nullopt);
    case HiresUpscaler::kLatentNearest:
      return at::upsample_nearest2d(latents, size, std::nullopt, std::nullopt);
    case HiresUpscaler::kLatentNearestExact:
      return at::_upsample_nearest_exact2d(latents, size, std::nullopt, std::nullopt);
    default:
      return at::upsample_bilinear2d(latents, size, kAlignCorners, std::nullopt, std::nullopt);
  }
}

std::shared_ptr<const Image> placeholder() {
  return std::make_shared<const Image>(Image{.width = 1, .height = 1, .pixels = std::vector<std::uint8_t>(3, 0)});
}

}  // namespace

GenerationRequest second_pass_request(const GenerationRequest& request) {
  auto second = request;
  const auto hires = *std::exchange(second.hires, std::nullopt);
  second.width = hires.width;
  second.height = hires.height;
  second.strength = hires.strength;
  second.image = placeholder();
  if (hires.num_inference_steps) {
    second.num_inference_steps = hires.num_inference_steps;
    second.timesteps.clear();
    second.sigmas.clear();
  }
  return second;
}

HiresPlan plan_hires(const GenerationRequest& request, const Canvas& first, const Canvas& second) {
  HiresPlan plan{.request = second_pass_request(request),
                 .upscaler = request.hires->upscaler,
                 .canvas = second,
                 .enlarged_width = second.width,
                 .enlarged_height = second.height};
  // As AUTOMATIC1111's web UI does: the image covers the size. A pixel of rounding is not another shape.
  const auto cover_height = static_cast<int>(std::int64_t{second.width} * first.height / first.width);
  const auto cover_width = static_cast<int>(std::int64_t{second.height} * first.width / first.height);
  if (cover_height > second.height + 1) {
    plan.enlarged_height = cover_height;
  } else if (cover_width > second.width + 1) {
    plan.enlarged_width = cover_width;
  }
  return plan;
}

Image enlarge_image(const Image& image, const HiresPlan& plan) {
  const auto filter = plan.upscaler == HiresUpscaler::kNearest ? PillowFilter::kNearest : PillowFilter::kLanczos;
  const auto enlarged = pillow_resize(image, plan.enlarged_width, plan.enlarged_height, filter);
  return crop_center(enlarged, plan.canvas.width, plan.canvas.height);
}

at::Tensor enlarge_latents(const at::Tensor& latents, std::int64_t height, std::int64_t width, const HiresPlan& plan) {
  const auto cells = [](std::int64_t at_size, int enlarged, int size) {
    return std::max(at_size, std::int64_t{std::llround(static_cast<double>(at_size) * enlarged / size)});
  };
  // In float32: not every way exists for 16-bit numbers on a CPU.
  const auto wide = interpolate(latents.to(at::kFloat), cells(height, plan.enlarged_height, plan.canvas.height),
                                cells(width, plan.enlarged_width, plan.canvas.width), plan.upscaler);
  const auto top = (wide.size(2) - height) / 2, left = (wide.size(3) - width) / 2;
  return wide.narrow(2, top, height).narrow(3, left, width).to(latents.scalar_type()).contiguous();
}

}  // namespace easel
