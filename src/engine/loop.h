// The one thread that calls pipelines.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "easel/engine.h"
#include "easel/pipeline.h"
#include "engine/active.h"
#include "engine/policy.h"
#include "engine/queue.h"
#include "engine/residency.h"

namespace easel {

/// Settles what the device is through with, destroys what nobody wants, admits, chooses one unit of work, hands it to
/// the pipeline, again. No exception leaves it: whatever a pipeline throws is the answer to the requests concerned.
class Loop {
 public:
  /// Queue and residency must outlive it.
  Loop(Queue& queue, Residency& residency, const EngineOptions& options)
      : queue_(queue), residency_(residency), options_(options) {}

  /// Loads the first model, then draws until the queue is aborted. Frees the models at its end.
  void run();

 private:
  using Pictures = std::vector<Picture*>;

  /// Work that was handed to a device.
  struct InFlight {
    std::unique_ptr<Ticket> ticket;
    Pictures pictures;           // kept in memory until the ticket is settled
    std::function<void()> read;  // what to do with the result, after wait; may be empty
  };
  /// What a candidate is about: one of the two is null.
  struct Subject {
    ActiveRequest* request;
    Picture* picture;
  };

  bool turn();  // false: the end
  void settle();
  void settle_oldest();
  bool oldest_is_done() const;
  void sweep();
  void admit();
  std::int64_t free_places() const;
  std::int64_t can_begin(const ActiveRequest& request) const;

  std::vector<Candidate> candidates(std::vector<Subject>& subjects) const;
  void begin(ActiveRequest& request);
  void step(const Pictures& pictures);
  void step_failed(const Pictures& pictures, const Failure& failure);
  void read_step(const Pictures& pictures, const std::vector<std::int64_t>& steps_done, StepTicket& ticket);
  void finish(Picture& picture);
  void fly(std::unique_ptr<Ticket> ticket, Pictures pictures, std::function<void()> read);

  Queue& queue_;
  Residency& residency_;
  const EngineOptions options_;
  FairShare fair_share_;
  std::vector<std::unique_ptr<ActiveRequest>> active_;  // in order of admission
  std::deque<InFlight> in_flight_;                      // oldest first
};

}  // namespace easel
