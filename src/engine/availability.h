// What a device's loop tells the queue about its device.
#pragma once

#include <cstddef>
#include <optional>

#include "engine/device/circuit_breaker.h"
#include "engine/device/clock.h"
#include "engine/device/device_estimates.h"
#include "engine/device/failure.h"
#include "engine/residency/residency.h"
#include "engine/waiting/job.h"

namespace easel {

/// Publishes how soon each model is ready on the device. While the circuit breaker of the device is open, requests are
/// assigned to it only if there is no other device. Used by the loop's thread.
class Availability {
 public:
  /// The board and the residency must outlive this object. Publishes at once.
  Availability(DeviceBoard& board, std::size_t device, Residency& residency, Clock now);

  void publish();
  /// Work of this request failed here. Publishes at once, before another request can be assigned to the device. After
  /// kDeviceLost none ever is where there is another device.
  void record_failure(const QueuedJob& job, const Failure& failure);
  void record_success() { breaker_.succeeded(); }
  /// When the circuit breaker closes again; none while it is closed.
  std::optional<TimePoint> next_change() const { return breaker_.tripped_until(now_()); }

 private:
  DeviceBoard& board_;
  const std::size_t device_;
  Residency& residency_;
  const Clock now_;
  CircuitBreaker breaker_;
};

}  // namespace easel
