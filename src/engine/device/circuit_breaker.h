// Detects a device that fails one request after the other.
#pragma once

#include <cstdint>
#include <optional>

#include "easel/error.h"
#include "engine/device/clock.h"

namespace easel {

/// The circuit breaker of a device opens for half a minute after three requests in a row have failed by no fault of
/// their own, and for twice as long each time that the first request after that fails as well. A request that succeeds
/// closes it. Not thread-safe.
class CircuitBreaker {
 public:
  /// A request failed on the device. Only kInternal counts: other errors come from the request itself or from a lack of
  /// memory.
  void failed(std::uint64_t request, ErrorCode code, TimePoint now);
  void succeeded();
  bool tripped(TimePoint now) const { return now < tripped_until_; }
  /// When it closes again; none while it is closed.
  std::optional<TimePoint> tripped_until(TimePoint now) const;

 private:
  int failures_ = 0;  // in a row
  std::optional<std::uint64_t> latest_{};
  int trips_ = 0;  // in a row
  TimePoint tripped_until_{};
};

}  // namespace easel
