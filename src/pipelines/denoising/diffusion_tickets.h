// The tickets of pipelines that run on torch.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <c10/core/Event.h>

#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "easel/pipeline.h"
#include "image/tiles.h"
#include "pipelines/images/canvas.h"
#include "pipelines/images/kept_pixels.h"

namespace easel {

/// A mark in a device's current stream, without the CUDA API. On a CPU, where work is complete when the call returns,
/// the device has always passed it.
class DeviceEvent {
 public:
  explicit DeviceEvent(c10::Device device);
  bool passed() const;
  /// Blocks until the device has passed the mark, without keeping a processor busy. @throws c10::Error  the device
  /// failed
  void wait() const;

 private:
  std::optional<c10::Event> event_;
};

class DiffusionBeginTicket : public BeginTicket {
 public:
  DiffusionBeginTicket(std::vector<std::unique_ptr<Generation>> generations, c10::Device device);
  bool done() const override { return event_.passed(); }
  void wait() override;
  std::vector<std::unique_ptr<Generation>> take() override { return std::move(generations_); }

 private:
  std::vector<std::unique_ptr<Generation>> generations_;
  DeviceEvent event_;
};

class DiffusionStepTicket : public StepTicket {
 public:
  /// @param finite  bool [n] on the CPU; the copy may still be in progress
  DiffusionStepTicket(at::Tensor finite, c10::Device device);
  bool done() const override { return event_.passed(); }
  void wait() override;
  std::vector<bool> finite() override;

 private:
  at::Tensor finite_;
  DeviceEvent event_;
};

class DiffusionFinishTicket : public FinishTicket {
 public:
  /// An image, or one tile of an image.
  struct DecodedTile {
    at::Tensor pixels;  ///< from to_pixels; the copy to the CPU may still be in progress
    /// One bool, whose copy may also be in progress: false when decoding produced infinities or NaN.
    at::Tensor finite = {};
    /// Decodes again in float32 and returns finite pixels, or throws. Empty where decoding cannot overflow.
    std::function<at::Tensor()> decode_in_float32 = {};
  };
  struct PendingImage {
    std::vector<DecodedTile> parts;
    TileGrid grid;  ///< of the tiles, where there is more than one
    Canvas canvas;
    std::uint64_t seed;
    bool prompt_cut = false;
    std::int64_t prompt_tokens = 0;
    std::shared_ptr<const KeptPixels> kept_pixels = {};  ///< null: none
  };
  DiffusionFinishTicket(std::vector<PendingImage> images, c10::Device device);
  /// The pixels of a tile whose copies have finished. @throws Error(kCorruptData)  they are not finite
  static Image image_of(const DecodedTile& part);
  bool done() const override { return event_.passed(); }
  void wait() override;
  std::vector<GeneratedImage> take() override;

 private:
  std::vector<PendingImage> images_;
  DeviceEvent event_;
};

}  // namespace easel
