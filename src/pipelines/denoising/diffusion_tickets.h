// The tickets of pipelines that run on torch.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <vector>

#include "easel/pipeline.h"
#include "image/tiles.h"
#include "pipelines/denoising/device_event.h"
#include "pipelines/images/canvas.h"

namespace easel {

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
  /// @param finite  bool [n], on its way to the CPU
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
  /// An image, or a tile of one.
  struct DecodedTile {
    at::Tensor pixels;  ///< of to_pixels, on its way to the CPU
    /// A bool on its way to the CPU, false when the decode gave infinities or NaN; and, where it can overflow, what
    /// gives pixels that are good, or throws.
    at::Tensor finite = {};
    std::function<at::Tensor()> decode_in_float32 = {};
  };
  struct PendingImage {
    std::vector<DecodedTile> parts;
    TileGrid grid;  ///< where there is more than one
    Canvas canvas;
    std::uint64_t seed;
    bool prompt_cut = false;
  };
  DiffusionFinishTicket(std::vector<PendingImage> images, c10::Device device);
  bool done() const override { return event_.passed(); }
  void wait() override;
  std::vector<GeneratedImage> take() override;

 private:
  std::vector<PendingImage> images_;
  DeviceEvent event_;
};

}  // namespace easel
