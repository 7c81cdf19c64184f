#include "pipelines/diffusion_tickets.h"

#include <utility>

#include "pipelines/postprocess.h"
#include "pipelines/torch_errors.h"

namespace easel {

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

DiffusionFinishTicket::DiffusionFinishTicket(std::vector<Picture> pictures, c10::Device device)
    : pictures_(std::move(pictures)), event_(device) {}

void DiffusionFinishTicket::wait() {
  with_torch_errors([&] { event_.wait(); });
}

std::vector<GeneratedImage> DiffusionFinishTicket::take() {
  std::vector<GeneratedImage> images;
  for (const auto& [pixels, canvas, seed] : pictures_) {
    images.push_back({.image = to_answer(to_image(pixels), canvas), .seed = seed});
  }
  return images;
}

}  // namespace easel
