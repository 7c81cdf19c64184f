// Whether a device still does what it is given.
#pragma once

#include <cstdint>
#include <optional>

#include "easel/error.h"
#include "engine/clock.h"

namespace easel {

/// After three requests in a row that failed by no fault of their own the device is doubted for half a minute, and
/// twice as long each time that the first request after that fails as well. One that works closes it.
class CircuitBreaker {
 public:
  /// A request failed there. Only kInternal speaks against the device; what the request itself asked for, or a lack of
  /// memory, does not.
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
