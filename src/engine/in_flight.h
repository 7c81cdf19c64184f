// The work that a device has been given and that was not settled yet.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "easel/engine.h"
#include "engine/availability.h"
#include "engine/device/clock.h"
#include "engine/device/cost_model.h"
#include "engine/residency/residency.h"
#include "engine/waiting/policy.h"
#include "engine/work.h"

namespace easel {

/// Device time, and the accounts that it was spent for.
struct DoneWork {
  double seconds;
  std::set<std::string> accounts;
};

/// Owns the tickets, charges the policy for device time, and settles work: hands results to the requests, and measured
/// times to the cost model, the observer, the residency and the device's availability. No exception leaves it: what a
/// ticket throws ends the requests of its work. Used by the loop's thread.
class InFlight {
 public:
  /// All of them must outlive this object. @param max  units of work in flight; @param observer  may be null
  InFlight(CostModel& costs, Policy& policy, Residency& residency, Availability& availability, int max, Clock now,
           std::shared_ptr<EngineObserver> observer);

  bool empty() const { return works_.empty(); }
  /// Whether the device may be using this image. It must stay in memory until it does not, whatever has become of its
  /// request.
  bool holds(const ActiveImage& image) const;

  /// Charges the estimate; the difference to the measured time follows when the work is settled.
  void enqueue(std::unique_ptr<Work> work);
  /// The call failed or was stopped before there was a ticket. Charges the time that has passed since enqueued_at,
  /// which says nothing about what such work costs.
  void charge_aborted(const WorkInfo& info);

  /// The work that has been settled or aborted since the last call.
  std::vector<DoneWork> take_done() { return std::exchange(done_, {}); }

  /// Settles all work that is done, and waits for the oldest while the maximum is in flight.
  void settle();
  /// Waits for the oldest work and settles it. There must be some.
  void settle_oldest();

 private:
  bool oldest_is_done();
  void record_cost(const Work& work, double seconds);
  void charge(const WorkInfo& info, double seconds);
  void record_done(const WorkInfo& info, double seconds);

  CostModel& costs_;
  Policy& policy_;
  Residency& residency_;
  Availability& availability_;
  const std::size_t max_;
  const Clock now_;
  const std::shared_ptr<EngineObserver> observer_;
  std::deque<std::unique_ptr<Work>> works_;  // oldest first
  std::vector<DoneWork> done_;
  TimePoint settled_at_{};  // when the latest work was settled
};

}  // namespace easel
