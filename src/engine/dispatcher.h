// How a unit of work is handed to a pipeline.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "easel/engine.h"
#include "engine/active_request.h"
#include "engine/activity.h"
#include "engine/availability.h"
#include "engine/device/clock.h"
#include "engine/device/cost_model.h"
#include "engine/in_flight.h"
#include "engine/residency/residency.h"

namespace easel {

/// Calls the pipelines of a device and puts the work in flight. No exception leaves it: what a pipeline throws is tried
/// again in another way where that can help (a smaller batch, no batch, more memory), and otherwise ends the requests
/// concerned. Used by the loop's thread.
class Dispatcher {
 public:
  /// All of them must outlive this object. @param observer  may be null
  Dispatcher(CostModel& costs, Residency& residency, Availability& availability, InFlight& in_flight,
             Activity& activity, Clock now, std::shared_ptr<EngineObserver> observer);

  /// Begins the request's next images. @param images  how many, 1 or more
  void begin(const std::shared_ptr<ActiveRequest>& request, std::int64_t images);
  /// Advances images of one model and batch key by one step.
  void step(const std::vector<ActiveImageRef>& images);
  /// Decodes one image.
  void finish(const ActiveImageRef& target);

 private:
  StopPredicate stop_when_all_ended(std::vector<std::shared_ptr<QueuedJob>> jobs);
  StopPredicate stop_when_all_ended(const std::vector<ActiveImageRef>& images);
  WorkInfo info_of(const std::vector<ActiveImageRef>& images) const;
  void step_failed(const std::vector<ActiveImageRef>& images, const Failure& failure);
  bool evict_for_retry(const Failure& failure, const ActiveRequest& request, bool& retried);
  void fail(ActiveRequest& request, const Failure& failure);

  CostModel& costs_;
  Residency& residency_;
  Availability& availability_;
  InFlight& in_flight_;
  Activity& activity_;
  const Clock now_;
  const std::shared_ptr<EngineObserver> observer_;
};

}  // namespace easel
