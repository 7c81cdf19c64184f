#include "http/openai/jobs/hires_parts.h"

#include <cstdint>
#include <memory>
#include <utility>

#include "image/pillow_resize.h"

namespace easel::http {
namespace {

Image fitted(const Image& image, const HiresPass& hires) {
  const auto cover_height = static_cast<int>(std::int64_t{hires.width} * image.height / image.width);
  const auto cover_width = static_cast<int>(std::int64_t{hires.height} * image.width / image.height);
  const auto width = cover_width > hires.width + 1 ? cover_width : hires.width;
  const auto height = cover_height > hires.height + 1 ? cover_height : hires.height;
  return crop_center(pillow_resize(image, width, height, PillowFilter::kLanczos), hires.width, hires.height);
}

}  // namespace

GenerationRequest enlarging_request(const HiresPass& hires, int factor, GeneratedImage first) {
  GenerationRequest request;
  request.model = hires.upscaler_model;
  request.seed = first.seed;
  request.width = first.image.width * factor;
  request.height = first.image.height * factor;
  request.image = std::make_shared<const Image>(std::move(first.image));
  return request;
}

GenerationRequest second_pass_request(const GenerationRequest& request, const GeneratedImage& larger) {
  const auto& hires = *request.hires;
  auto second = request;
  second.hires.reset();
  second.num_images = 1;
  second.seed = larger.seed;
  second.width = hires.width;
  second.height = hires.height;
  second.strength = hires.strength;
  second.image = std::make_shared<const Image>(fitted(larger.image, hires));
  if (hires.num_inference_steps) {
    second.num_inference_steps = hires.num_inference_steps;
    second.timesteps.clear();
    second.sigmas.clear();
  }
  return second;
}

}  // namespace easel::http
