// Whether a device still does what it is given.
#pragma once

#include <cstdint>
#include <optional>

#include "easel/error.h"
#include "engine/clock.h"

namespace easel {

/// After three requests in a row that failed by no fault of their own the device is doubted for half a minute, and
/// twice as long each time that the first request after that fails as well. One that works ends all doubt.
class DeviceHealth {
 public:
  /// A request failed there. Only kInternal speaks against the device; what the request itself asked for, or a lack of
  /// memory, does not.
  void failed(std::uint64_t request, ErrorCode code, TimePoint now);
  void worked();
  bool doubted(TimePoint now) const { return now < doubted_until_; }
  /// When doubt ends; none where there is none.
  std::optional<TimePoint> doubted_until(TimePoint now) const;

 private:
  int failures_ = 0;  // in a row
  std::optional<std::uint64_t> latest_{};
  int doubts_ = 0;  // in a row
  TimePoint doubted_until_{};
};

}  // namespace easel
