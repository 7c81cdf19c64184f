// What a model call would allocate, found out by making it with tensors that have shapes and no memory.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <memory>

namespace easel {

/// Counts the memory that tensors on the meta device would take if they were on another one. A model built and called
/// on meta inside a MetaRun takes the path that it takes with real numbers, so its peak is that of the real call, but
/// for what kernels keep to themselves: workspaces of cuDNN and oneDNN, and an allocator's rounding.
///
/// Counts the tensors that its own thread makes while it lives; one a thread at a time. Creating the first one installs
/// libtorch's meta kernels that its C++ part lacks (convolution, linear, norms, attention, embedding); do that before
/// other threads use meta tensors.
class MetaRun {
 public:
  /// @param simulated  whose layouts and temporary copies are meant: kCPU or kCUDA
  explicit MetaRun(c10::DeviceType simulated);
  ~MetaRun();
  MetaRun(const MetaRun&) = delete;
  MetaRun& operator=(const MetaRun&) = delete;

  /// Largest sum of bytes alive at once, since the last reset_peak.
  std::int64_t peak_bytes() const;
  std::int64_t live_bytes() const;
  /// Begins the peak anew from what is alive.
  void reset_peak();

  struct Tally;

 private:
  std::shared_ptr<Tally> tally_;
};

}  // namespace easel
