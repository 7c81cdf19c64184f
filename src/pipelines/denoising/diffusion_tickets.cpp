#include "pipelines/denoising/diffusion_tickets.h"

#include <utility>

#include "core/log.h"
#include "pipelines/images/postprocess.h"
#include "tensor/torch_errors.h"

namespace easel {
namespace {

// Pixels of infinities and NaN would be a black image.
Image take_tile(const DiffusionFinishTicket::DecodedTile& part) {
  if (*part.finite.const_data_ptr<bool>()) return to_image(part.pixels);
  if (!part.decode_in_float32) throw Error(ErrorCode::kCorruptData, "the autoencoder gave infinities or NaN");
  log::info("an image overflowed in float16 and is decoded again in float32");
  return to_image(with_torch_errors(part.decode_in_float32));
}

}  // namespace

DiffusionBeginTicket::DiffusionBeginTicket(std::vector<std::unique_ptr<Generation>> generations, c10::Device device)
    : generations_(std::move(generations)), event_(device) {}

void DiffusionBeginTicket::wait() {
  with_torch_errors([&] { event_.wait(); });
}

DiffusionStepTicket::DiffusionStepTicket(at::Tensor finite, c10::Device device)
    : finite_(std::move(finite)), event_(device) {}

void DiffusionStepTicket::wait() {
  with_torch_errors([&] { event_.wait(); });
}

std::vector<bool> DiffusionStepTicket::finite() {
  const bool* flags = finite_.const_data_ptr<bool>();
  return std::vector<bool>(flags, flags + finite_.numel());  // braces would make two flags of the pointers
}

DiffusionFinishTicket::DiffusionFinishTicket(std::vector<PendingImage> images, c10::Device device)
    : images_(std::move(images)), event_(device) {}

void DiffusionFinishTicket::wait() {
  with_torch_errors([&] { event_.wait(); });
}

std::vector<GeneratedImage> DiffusionFinishTicket::take() {
  std::vector<GeneratedImage> images;
  for (const auto& image : images_) {
    std::vector<Image> parts;
    for (const auto& part : image.parts) parts.push_back(take_tile(part));
    auto drawing = parts.size() == 1 ? std::move(parts[0]) : blend_tiles(parts, image.grid);
    images.push_back(
        {.image = to_output(std::move(drawing), image.canvas), .seed = image.seed, .prompt_cut = image.prompt_cut});
  }
  return images;
}

}  // namespace easel
