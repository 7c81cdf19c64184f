// Knowing when a device is through with what it was given, without a word of CUDA.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/Event.h>

#include <optional>

namespace easel {

/// A mark in the current stream of a device. On a CPU, where work is done when the call returns, it is always passed.
class DeviceEvent {
 public:
  explicit DeviceEvent(c10::Device device);
  bool passed() const;
  /// Blocks until the device has passed the mark. @throws c10::Error  the device failed
  void wait() const;

 private:
  std::optional<c10::Event> event_;
};

}  // namespace easel
