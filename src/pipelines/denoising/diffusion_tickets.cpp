#include "pipelines/denoising/diffusion_tickets.h"

#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "core/log.h"
#include "pipelines/images/pixels.h"
#include "tensor/torch_errors.h"

namespace easel {

// Infinities and NaN would become black pixels.
Image DiffusionFinishTicket::image_of(const DecodedTile& part) {
  if (*part.finite.const_data_ptr<bool>()) return to_image(part.pixels);
  if (!part.decode_in_float32) throw Error(ErrorCode::kCorruptData, "the autoencoder produced infinities or NaN");
  log::info("decoding overflowed in float16; decoding the image again in float32");
  return to_image(with_torch_errors(part.decode_in_float32));
}

DeviceEvent::DeviceEvent(c10::Device device) {
  if (device.is_cpu()) return;
  const c10::impl::VirtualGuardImpl guard(device.type());
  event_.emplace(device.type());
  event_->record(guard.getStream(device));
}

bool DeviceEvent::passed() const {
  return !event_ || event_->query();
}

// The driver's own wait keeps a processor busy, which then is missing for the encoding of images.
void DeviceEvent::wait() const {
  using Clock = std::chrono::steady_clock;
  constexpr Clock::duration kShortest = std::chrono::microseconds(50), kLongest = std::chrono::milliseconds(1);
  const auto start = Clock::now();
  // It returns within a sixteenth of the time that the work takes, or a millisecond.
  while (!passed()) std::this_thread::sleep_for(std::clamp((Clock::now() - start) / 16, kShortest, kLongest));
}

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
  return std::vector<bool>(flags, flags + finite_.numel());  // with braces, the two pointers would become flags
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
    for (const auto& part : image.parts) parts.push_back(image_of(part));
    auto drawing = parts.size() == 1 ? std::move(parts[0]) : blend_tiles(parts, image.grid);
    images.push_back({.image = to_output(std::move(drawing), image.canvas, image.kept_pixels.get()),
                      .seed = image.seed,
                      .prompt_cut = image.prompt_cut,
                      .prompt_tokens = image.prompt_tokens});
  }
  return images;
}

}  // namespace easel
