#include "engine/device/circuit_breaker.h"

#include <algorithm>

namespace easel {

namespace {

constexpr int kFailuresToOpen = 3;
constexpr std::chrono::seconds kFirstOpenPeriod{30};
constexpr int kMaxDoublings = 6;  // half an hour

}  // namespace

void CircuitBreaker::failed(std::uint64_t request, ErrorCode code, TimePoint now) {
  if (code != ErrorCode::kInternal || latest_ == request) return;
  latest_ = request;
  if (tripped(now)) return;  // it was begun before the circuit breaker opened
  if (++failures_ < kFailuresToOpen) return;
  tripped_until_ = now + kFirstOpenPeriod * (1 << std::min(trips_, kMaxDoublings));
  ++trips_;
  failures_ = kFailuresToOpen - 1;  // after that, one failure opens it again
}

void CircuitBreaker::succeeded() {
  failures_ = trips_ = 0;
  tripped_until_ = {};
}

std::optional<TimePoint> CircuitBreaker::tripped_until(TimePoint now) const {
  return tripped(now) ? std::optional(tripped_until_) : std::nullopt;
}

}  // namespace easel
