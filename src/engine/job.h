// One accepted request: where its answer meets who waits for it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <vector>

#include "easel/engine.h"
#include "engine/failure.h"

namespace easel {

/// Ends exactly once: the first of succeed, fail and cancel counts, the others do nothing. Thread-safe.
class QueuedJob final : public Job {
 public:
  /// @param number  rises with every accepted request
  /// @param on_end  called once, by the thread that ends the job and just before anybody can see that it ended; must
  ///                not call back into the job
  QueuedJob(std::uint64_t number, GenerationRequest request, std::function<void(const QueuedJob&)> on_end);

  bool wait_for(std::chrono::milliseconds timeout) override;
  std::vector<GeneratedImage> take() override;
  void cancel() override;
  StepProgress progress() const override;

  std::uint64_t number() const { return number_; }
  const GenerationRequest& request() const { return request_; }
  bool ended() const { return ended_.load(std::memory_order_acquire); }  ///< cheap: stop predicates poll it

  /// @return whether this was the end
  bool succeed(std::vector<GeneratedImage> images);
  bool fail(Failure failure);
  void report(StepProgress progress);

 private:
  bool end(std::vector<GeneratedImage> images, std::optional<Failure> failure);

  const std::uint64_t number_;
  const GenerationRequest request_;
  const std::function<void(const QueuedJob&)> on_end_;

  mutable std::mutex mutex_;  // guards what follows; taken before the queue's, never after it
  std::condition_variable ended_changed_;
  std::atomic<bool> ended_{false};  // written under the mutex
  bool taken_ = false;
  std::vector<GeneratedImage> images_;
  std::optional<Failure> failure_;
  StepProgress progress_;
};

}  // namespace easel
