// Memory, streams and events of the rehearsal device.
#pragma once

#include <c10/core/Stream.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "support/rehearsal/rehearsal_device.h"

namespace easel::testing::rehearsal {

constexpr int kDevices = 2;
constexpr int kStreamsPerDevice = 8;  // stream 0 is the default stream
constexpr int kStreams = kDevices * kStreamsPerDevice;

/// How much of each stream's work is known to be done: numbers of its operations.
using Progress = std::array<std::int64_t, kStreams>;

/// One allocation. Its address lies in a region that no access is allowed to; the kernels use `memory`.
struct Block {
  Block(int on_device, std::size_t size);
  ~Block();
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  const int device;
  const std::size_t bytes;
  std::unique_ptr<char, void (*)(void*)> memory;
  char* address;
  int allocated_on;  ///< stream
  int writer = -1;   ///< stream of the latest write
  std::int64_t written = 0;
  Progress read{};                        ///< latest read by each stream
  std::array<bool, kStreams> recorded{};  ///< streams that are waited for when it is freed
};

struct Event {
  int stream = 0;
  std::int64_t number = 0;
  Progress progress{};
  int queries = 0;
  bool seen = false;
};

/// The state of both devices. Every member function is called with lock() held.
class Runtime {
 public:
  static Runtime& get();
  std::unique_lock<std::recursive_mutex> lock() { return std::unique_lock(mutex_); }

  // The thread's current device and streams.
  static int current_device();
  static void set_current_device(int device);
  static int current_stream(int device);
  static void set_current_stream(int stream);
  static bool default_stream_forbidden();
  static void forbid_default_stream(bool forbidden);

  /// @throws c10::AcceleratorError  the device is lost
  void require_alive(int device);
  /// An operation of this thread begins on a device; does the copies to the device that were enqueued before it.
  /// @return its stream
  int begin_operation(int device);
  /// @throws c10::Error  another stream has not finished with the block
  void read(Block& block, int stream);
  void write(Block& block, int stream);
  /// A copy that the operation has enqueued, to be done when somebody can tell whether it is.
  void enqueue_copy(int stream, bool to_device, std::function<void()> copy);

  /// The host waits for all of a stream's work.
  void synchronize(int stream);
  void record(Event& event, int stream);
  void wait(const Event& event, int stream);
  bool query(Event& event);
  void wait_on_host(Event& event);

  struct DeviceState {
    bool lost = false;
    std::int64_t lost_after = 0;  // kernels; 0: never
    std::int64_t limit = std::int64_t{64} << 30, allocation_limit = limit;
    std::int64_t allocated = 0, cached = 0;
    std::int64_t cache_releases = 0, uses_after_loss = 0, failed_allocations = 0;
    std::vector<std::string> violations{};
  };
  DeviceState& device(int index) { return devices_[static_cast<std::size_t>(index)]; }
  RehearsalCounts& counts(int stream) { return streams_[static_cast<std::size_t>(stream)].counts; }
  bool host_has_seen(int stream, std::int64_t number) const {
    return host_[static_cast<std::size_t>(stream)] >= number;
  }
  char* next_address(std::size_t bytes);
  int next_stream(int device);

  // Pinned host memory, by its first byte.
  std::map<const char*, std::size_t> pinned;
  bool is_pinned(const void* address) const;

 private:
  struct PendingCopy {
    std::int64_t number;
    bool to_device;
    std::function<void()> run;
  };
  struct StreamState {
    std::int64_t issued = 0;
    Progress progress{};
    std::deque<PendingCopy> pending;
    RehearsalCounts counts;
  };
  Runtime();
  StreamState& stream(int index) { return streams_[static_cast<std::size_t>(index)]; }
  void complete(int index, std::int64_t number);
  void require_order(const Block& block, int index, bool writes);

  std::recursive_mutex mutex_;
  std::array<DeviceState, kDevices> devices_;
  std::array<StreamState, kStreams> streams_;
  Progress host_{};  // what any thread of the host has waited for
  char* region_ = nullptr;
  std::size_t used_ = 0;
  std::array<int, kDevices> latest_stream_{};
};

}  // namespace easel::testing::rehearsal
