// Watches the loops of an engine.
#pragma once

#include <chrono>
#include <thread>

#include "core/mutex.h"
#include "easel/engine.h"

namespace easel {

/// Looks at the loops from time to time, on a thread of its own, until it is destroyed. A loop that has been in one
/// turn for too long is logged with what it does. While none has, the service manager gets the WATCHDOG=1 that it asks
/// for. When all devices are lost, the process is asked to end as by a signal from outside. While a device has work,
/// freed memory is kept for longer.
class Watchdog {
 public:
  /// @param engine         must outlive this object
  /// @param exit_on_stall  end the process with status 1 when a loop is stalled, so that its supervisor starts it again
  Watchdog(const Engine& engine, bool exit_on_stall);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

 private:
  void work();
  void look();
  bool wait(std::chrono::microseconds time);

  const Engine& engine_;
  const bool exit_on_stall_;
  Mutex mutex_;
  CondVar changed_;
  bool ending_ EASEL_GUARDED_BY(mutex_) = false;
  bool reported_ = false;        // the present stall
  bool ending_process_ = false;  // all devices are lost
  std::thread thread_;           // last: uses all of the above
};

}  // namespace easel
