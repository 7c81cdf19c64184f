// The one thread that calls the pipelines of a device.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "easel/engine.h"
#include "easel/pipeline.h"
#include "engine/active_request.h"
#include "engine/circuit_breaker.h"
#include "engine/clock.h"
#include "engine/cost_model.h"
#include "engine/device_estimates.h"
#include "engine/policy.h"
#include "engine/queue.h"
#include "engine/residency.h"

namespace easel {

/// Settles what the device is through with, destroys what nobody wants, tends to the models, chooses one unit of work,
/// hands it to the pipeline, again. No exception leaves it: whatever a pipeline throws is the answer to the requests
/// concerned.
///
/// One loop a device, each with its residency, costs and policy; all take from the one queue, which gives a request its
/// place by what the loops write on the board.
class Loop {
 public:
  struct Limits {
    std::size_t device = 0;  ///< among those of the board
    std::int64_t max_active_generations = 16;
    std::int64_t max_parked_generations = 48;
    int max_steps_in_flight = 2;
  };
  /// All of them must outlive it. @param observer  may be null
  Loop(Queue& queue, Residency& residency, DeviceBoard& board, Policy& policy, Limits limits, Clock now,
       std::shared_ptr<EngineObserver> observer);

  /// Draws until the queue is aborted. Frees the models at its end.
  void run();

  // The same by hand, for simulations.

  /// Does one unit of work. @return false when there is none: nothing is held, and something must happen first
  bool turn();
  /// When turn() should be called again although nothing happened: a deadline, a model that leaves, a circuit breaker
  /// that closes.
  std::optional<TimePoint> next_wakeup() const;

 private:
  using ActiveImages = std::vector<ActiveImage*>;

  /// Whose work a ticket is.
  struct Participant {
    std::shared_ptr<QueuedJob> job;
    int rows;
  };
  /// Work that was handed to a device, or is about to be.
  struct Work {
    WorkKind kind;
    std::vector<Participant> participants;
    ActiveImages images;  // kept in memory until the ticket is settled
    CostModel::Shape shape;
    std::string batch_key{};
    double estimate = 0;  // seconds
    TimePoint enqueued_at{};
    std::unique_ptr<Ticket> ticket{};
    std::function<void()> on_settled{};  // what to do with the result, after wait; may be empty

    int rows() const;
  };
  /// What a candidate is about: the one of the three that is not null.
  struct CandidateTarget {
    std::shared_ptr<QueuedJob> waiting;
    ActiveRequest* request;
    ActiveImage* image;
  };

  // loop.cpp: who there is, and what to do.
  void sweep();
  void forget(std::uint64_t request);
  void sync_queue();
  void forget_moved_requests();
  void update_models();
  void publish();
  ModelLabels at(std::size_t model) const { return {residency_.descriptions()[model].id, residency_.device()}; }
  void estimate();
  void notify_positions();
  bool start_next_work();
  std::vector<Candidate> candidates(std::vector<CandidateTarget>& targets) const;
  void add_images(const ActiveRequest& request, const CostModel::PerImage& costs, std::vector<Candidate>& found,
                  std::vector<CandidateTarget>& targets) const;
  std::int64_t free_capacity() const;
  bool has_capacity_for(double seconds) const;
  std::int64_t max_images_to_begin(const ActiveRequest& request) const;
  ActiveRequest* admit(const std::shared_ptr<QueuedJob>& job);

  // loop_work.cpp: how it is done.
  void begin(ActiveRequest& request);
  void step(const ActiveImages& images);
  void step_failed(const ActiveImages& images, const Failure& failure);
  void complete_step(const ActiveImages& images, const std::vector<std::int64_t>& steps_done, StepTicket& ticket);
  void finish(ActiveImage& image);
  bool evict_for_retry(const Failure& failure, const ActiveRequest& request, bool& retried);
  Work make_work(WorkKind kind, const ActiveImages& images, double estimate) const;
  void enqueue(Work work, std::unique_ptr<Ticket> ticket);
  void charge_aborted(const Work& work);
  void failed(ActiveRequest& request, const Failure& failure);
  void note_failure(const QueuedJob& job, const Failure& failure);
  void settle();
  void settle_oldest();
  bool oldest_is_done() const;
  void record_cost(const Work& work, double seconds);
  void charge(const Work& work, double seconds);

  Queue& queue_;
  Residency& residency_;
  DeviceBoard& board_;
  CostModel& costs_;
  Policy& policy_;
  const Limits limits_;
  const Clock now_;
  const std::shared_ptr<EngineObserver> observer_;

  std::vector<std::shared_ptr<QueuedJob>> waiting_;             // as the queue had it at the beginning of the turn
  std::map<std::uint64_t, std::shared_ptr<QueuedJob>> claims_;  // those that the policy knows
  std::map<std::uint64_t, std::pair<TimePoint, std::size_t>> last_notified_;  // listeners: when, how many ahead
  std::vector<Demand> demand_;                                                // by model
  std::vector<std::unique_ptr<ActiveRequest>> active_;                        // in order of admission
  std::deque<Work> in_flight_;                                                // oldest first
  TimePoint settled_at_{};                                                    // the latest ticket
  CircuitBreaker breaker_;
};

}  // namespace easel
