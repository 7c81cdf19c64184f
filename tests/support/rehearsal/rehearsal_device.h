// A device in place of a GPU, for tests: host memory that the host cannot read, and kernels that complain.
//
// It computes what libtorch's CPU kernels compute, to the bit, and is an accelerator in everything else. Work takes
// effect in the order of its stream, but copies between the device and pinned memory are done as late as a GPU might do
// them. What a GPU would answer with wrong numbers or with a crash is an error here:
// - a kernel whose tensors are on different devices; scalars on the CPU are allowed, as on a GPU
// - a kernel whose tensors are not on the thread's current device
// - a kernel that uses what another stream has written or still reads, without an event or a wait in between
// - memory that is freed while a stream other than the one it was allocated on may still use it, without record_stream
// - any use of a device that was lost
// - a read of device memory by the host, which ends the process
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <string>
#include <vector>

namespace easel::testing {

/// Registers the device type "rehearsal" with libtorch, for the whole process: rehearsal:0 and rehearsal:1. Can be
/// called any number of times.
void install_rehearsal_device();

/// What has happened on a device or a stream.
struct RehearsalCounts {
  std::int64_t kernels = 0;           ///< copies included
  std::int64_t synchronizations = 0;  ///< times that the host waited for a stream: a scalar that was read, a copy from
                                      ///< or to memory that is not pinned, a synchronisation that was asked for
  std::int64_t event_waits = 0;       ///< events that the host has waited for, or has seen to be done
};

/// Control of one of the two devices. Its state is that of a new device when this is made, and again when it is
/// destroyed: all memory, not lost, nothing counted. One at a time for each device.
class RehearsalDevice {
 public:
  /// Installs the device. @param index  0 or 1
  explicit RehearsalDevice(int index);
  ~RehearsalDevice();
  RehearsalDevice(const RehearsalDevice&) = delete;
  RehearsalDevice& operator=(const RehearsalDevice&) = delete;

  c10::Device device() const;
  std::string name() const { return device().str(); }

  RehearsalCounts counts() const;                    ///< of all streams
  RehearsalCounts counts_of_default_stream() const;  ///< which every thread begins with
  std::int64_t allocated_bytes() const;
  std::int64_t reserved_bytes() const;  ///< allocated, or freed and not yet given back to others
  std::int64_t cache_releases() const;  ///< calls of emptyCache
  std::int64_t uses_after_loss() const;
  /// What could not be thrown where it happened, as sentences.
  std::vector<std::string> violations() const;

  /// Allocations beyond it throw c10::OutOfMemoryError. The first value is 64 GiB.
  void limit_memory(std::int64_t bytes);
  /// A single allocation beyond it fails, too, as in memory that is fragmented. What the device says about its free
  /// memory does not tell.
  void limit_allocation(std::int64_t bytes);
  std::int64_t failed_allocations() const;
  /// From now on every use throws c10::AcceleratorError with the code of a launch failure.
  void lose();
  /// The same after so many further kernels.
  void lose_after(std::int64_t kernels);

 private:
  const int index_;
};

/// While it lives, its thread may give no work to a default stream.
class NoWorkOnDefaultStream {
 public:
  NoWorkOnDefaultStream();
  ~NoWorkOnDefaultStream();
  NoWorkOnDefaultStream(const NoWorkOnDefaultStream&) = delete;
  NoWorkOnDefaultStream& operator=(const NoWorkOnDefaultStream&) = delete;

 private:
  const bool before_;
};

}  // namespace easel::testing
