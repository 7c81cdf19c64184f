// Decides what a device does next, on the one thread that calls the device's pipelines.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "easel/engine.h"
#include "engine/active_request.h"
#include "engine/activity.h"
#include "engine/availability.h"
#include "engine/device/clock.h"
#include "engine/device/cost_model.h"
#include "engine/device/device_estimates.h"
#include "engine/dispatcher.h"
#include "engine/in_flight.h"
#include "engine/residency/residency.h"
#include "engine/waiting/admission.h"
#include "engine/waiting/policy.h"
#include "engine/waiting/queue.h"

namespace easel {

/// The loop of one device. Each turn settles what the device has completed, frees images that are not needed any more,
/// updates the models in memory, lets the policy choose one unit of work, and hands it to the pipeline. No exception
/// leaves it: what a pipeline throws ends the requests concerned.
///
/// There is one loop for each device, with its own residency, costs and policy. All take their requests from the same
/// queue, which assigns requests to devices by what the loops publish on the board.
class Loop {
 public:
  struct Limits {
    std::size_t device = 0;  ///< index among the devices of the board
    std::int64_t max_active_generations = 16;
    std::int64_t max_parked_generations = 48;
    int max_steps_in_flight = 2;
  };
  /// All of them must outlive the loop. @param observer  may be null
  Loop(Queue& queue, Residency& residency, DeviceBoard& board, Policy& policy, Limits limits, Clock now,
       std::shared_ptr<EngineObserver> observer);

  /// Runs until the queue is aborted, then destroys the device's models.
  void run();

  // What run() consists of, for simulations.

  /// Does one unit of work. @return false when there is none: no image is held, and something must happen first
  bool turn();
  /// When turn() should be called again although nothing has happened: a deadline passes, a model is to be unloaded, or
  /// the circuit breaker closes.
  std::optional<TimePoint> next_wakeup() const;
  /// May be read by any thread.
  const Activity& activity() const { return activity_; }

 private:
  /// What a candidate for the policy is about: a request that waits, a request with images to begin, or an image.
  using CandidateTarget = std::variant<std::shared_ptr<QueuedJob>, std::shared_ptr<ActiveRequest>, ActiveImageRef>;
  /// The latest queue position that a listener received.
  struct NotifiedPosition {
    TimePoint at;
    std::size_t ahead;
  };

  /// The model of a request that waits, the same for the whole turn.
  ModelId model_of(const QueuedJob& job) const { return models_of_waiting_.at(job.number()); }
  void find_models();
  void end_requests_of_lost_device();
  void sweep();
  void forget(std::uint64_t request);
  void sync_queue();
  void forget_moved_requests();
  void count_queue_time();
  void update_models();
  void estimate();
  void notify_positions();
  bool start_next_work();
  void start(const std::vector<CandidateTarget>& targets, const std::vector<std::size_t>& chosen, WorkKind kind);
  std::vector<Candidate> candidates(std::vector<CandidateTarget>& targets) const;
  void add_images(const std::shared_ptr<ActiveRequest>& request, std::vector<Candidate>& found,
                  std::vector<CandidateTarget>& targets) const;
  Admission admission() const;
  std::shared_ptr<ActiveRequest> admit(const std::shared_ptr<QueuedJob>& job);

  Queue& queue_;
  Residency& residency_;
  CostModel& costs_;
  Policy& policy_;
  const Limits limits_;
  const Clock now_;
  const std::shared_ptr<EngineObserver> observer_;
  Availability availability_;
  Activity activity_;

  std::vector<std::shared_ptr<QueuedJob>> waiting_;             // as the queue had it at the beginning of the turn
  std::map<std::uint64_t, ModelId> models_of_waiting_;          // by request
  std::map<std::uint64_t, std::shared_ptr<QueuedJob>> claims_;  // the requests that the policy knows
  std::map<std::uint64_t, NotifiedPosition> notified_;          // by request
  std::vector<std::shared_ptr<ActiveRequest>> active_;          // in order of admission
  InFlight in_flight_;
  Dispatcher dispatcher_;
};

}  // namespace easel
