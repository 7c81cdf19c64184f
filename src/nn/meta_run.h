// What a model call would allocate, found by running it on tensors that have shapes but no memory.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <memory>

namespace easel {

/// While any of these lives, libtorch has, for the whole process, the meta kernels that its C++ part lacks
/// (convolution, linear, norms, attention, embedding) and an allocator of meta tensors that can count; the last one
/// restores what was there before.
///
/// Every MetaRun has one, so estimates work without further ado. But registering kernels while other threads call
/// operators is not something that libtorch promises to support, so a program with several threads holds one from its
/// start to its end. May be created and destroyed on any thread.
class MetaKernels {
 public:
  MetaKernels();
  ~MetaKernels();
  MetaKernels(const MetaKernels&) = delete;
  MetaKernels& operator=(const MetaKernels&) = delete;
};

/// Counts the memory that tensors on the meta device would take if they were on another one. A model that is built and
/// called on the meta device during a MetaRun takes the same path as with real numbers, so its peak is that of the real
/// call, except for what kernels allocate for themselves: the workspaces of cuDNN, those of oneDNN other than
/// convolution_scratch_bytes (onednn_scratch.h), and an allocator's rounding.
///
/// Counts the tensors that its own thread creates while it lives; a thread can have one at a time, several threads can
/// have one each.
class MetaRun {
 public:
  /// @param simulated  the device whose layouts and temporary copies are counted: kCPU or kCUDA
  /// @throws Error(kInternal)  the thread has one already
  explicit MetaRun(c10::DeviceType simulated);
  ~MetaRun();
  MetaRun(const MetaRun&) = delete;
  MetaRun& operator=(const MetaRun&) = delete;

  /// Largest sum of bytes that were alive at once since the last reset_peak.
  std::int64_t peak_bytes() const;
  std::int64_t live_bytes() const;
  /// Starts a new peak from what is alive now.
  void reset_peak();

  struct Tally;

 private:
  MetaKernels kernels_;
  std::shared_ptr<Tally> tally_;
};

}  // namespace easel
