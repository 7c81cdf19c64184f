#include "engine/device_health.h"

#include <algorithm>

namespace easel {

namespace {

constexpr int kFailuresToDoubt = 3;
constexpr std::chrono::seconds kFirstDoubt{30};
constexpr int kMostDoublings = 6;  // half an hour

}  // namespace

void DeviceHealth::failed(std::uint64_t request, ErrorCode code, TimePoint now) {
  if (code != ErrorCode::kInternal || latest_ == request) return;
  latest_ = request;
  if (doubted(now)) return;  // begun before the doubt
  if (++failures_ < kFailuresToDoubt) return;
  doubted_until_ = now + kFirstDoubt * (1 << std::min(doubts_, kMostDoublings));
  ++doubts_;
  failures_ = kFailuresToDoubt - 1;  // the next one is on trial
}

void DeviceHealth::worked() {
  failures_ = doubts_ = 0;
  doubted_until_ = {};
}

std::optional<TimePoint> DeviceHealth::doubted_until(TimePoint now) const {
  return doubted(now) ? std::optional(doubted_until_) : std::nullopt;
}

}  // namespace easel
