#include "engine/availability.h"

#include <map>
#include <utility>

namespace easel {

namespace {

// Added to the times of a device whose circuit breaker is open: more than any backlog, and still finite, so that
// requests go there if there is no other device.
constexpr double kOpenCircuitSeconds = 1e9;

}  // namespace

Availability::Availability(DeviceBoard& board, std::size_t device, Residency& residency, Clock now)
    : board_(board), device_(device), residency_(residency), now_(std::move(now)) {
  publish();
}

void Availability::publish() {
  const double penalty = breaker_.tripped(now_()) ? kOpenCircuitSeconds : 0;
  std::map<ModelId, double> ready_in;
  for (const auto model : residency_.models()) ready_in[model] = penalty + residency_.ready_in(model);
  board_.publish(device_, std::move(ready_in));
}

void Availability::record_failure(const QueuedJob& job, const Failure& failure) {
  if (failure.code == ErrorCode::kDeviceLost) residency_.lose_device(failure);
  breaker_.failed(job.number(), failure.code, now_());
  publish();
}

}  // namespace easel
