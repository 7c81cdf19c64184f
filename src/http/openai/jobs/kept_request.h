// A request that outlives its connection, or that several connections wait for.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "core/mutex.h"
#include "easel/engine.h"
#include "http/openai/jobs/stored_result.h"
#include "http/openai/responses/image_result.h"
#include "http/openai/streaming/progress_feed.h"
#include "http/wire/http_error.h"

namespace easel::http {

/// A request that the engine has accepted.
struct AcceptedRequest {
  std::shared_ptr<Job> job;
  std::shared_ptr<ProgressFeed> feed = {};  ///< what its listener reports to; may be null
  ResultContext context;
};

/// Thread-safe.
class KeptRequest {
 public:
  using Clock = std::chrono::steady_clock;
  enum class Status { kQueued, kRunning, kCompleted, kFailed, kCancelled };

  /// Counts as one who waits for the request while it exists.
  class Waiter {
   public:
    explicit Waiter(std::shared_ptr<KeptRequest> request);
    ~Waiter();
    Waiter(const Waiter&) = delete;
    Waiter& operator=(const Waiter&) = delete;

   private:
    const std::shared_ptr<KeptRequest> request_;
  };

  /// @param detached  it goes on when nobody waits for it: it is a job that is read later
  KeptRequest(std::string account, AcceptedRequest accepted, bool detached);

  const std::string& id() const { return id_; }
  const std::string& account() const { return account_; }
  std::int64_t created_at() const { return created_at_; }  ///< Unix seconds
  bool detached() const;
  /// From now on it goes on when nobody waits for it. @return false if it was so already
  bool detach();

  /// Waits at most `timeout`. @return true if it has ended and its result can be loaded
  bool wait_for(std::chrono::milliseconds timeout) const;
  void cancel();

  Status status() const;
  StepProgress progress() const;
  QueuePosition position() const;
  JobStats stats() const;
  std::optional<Image> newest_preview() const;
  /// What the request reports; null after the end.
  std::shared_ptr<ProgressFeed> feed() const;
  /// After the end: why there is no result; none if there is one.
  std::optional<HttpError> error() const;
  /// Whether load() would give a result now.
  bool has_result() const;
  /// The result; none before the end, after a failure, or when its images are no longer kept.
  std::optional<ImageResult> load() const;
  /// None before the end.
  std::optional<Clock::time_point> ended_at() const;

  /// Takes the images when the engine has finished them, and encodes them. To be called by one thread, repeatedly.
  /// A request that nobody has waited for since `grace` is cancelled, unless it is detached.
  /// @return whether it has ended
  bool finish(ImageStore& store, std::chrono::milliseconds grace);

 private:
  void end(std::shared_ptr<StoredResult> result, std::optional<HttpError> error);
  std::shared_ptr<Job> job() const;
  std::shared_ptr<StoredResult> result() const;
  bool abandoned(std::chrono::milliseconds grace) const;

  const std::string id_;
  const std::string account_;
  const std::int64_t created_at_;
  ResultContext context_;  // of the thread that calls finish()

  mutable Mutex mutex_;
  mutable CondVar ended_changed_;
  std::shared_ptr<Job> job_ EASEL_GUARDED_BY(mutex_);            // null after the end: it holds the request's images
  std::shared_ptr<ProgressFeed> feed_ EASEL_GUARDED_BY(mutex_);  // null after the end
  std::optional<Clock::time_point> ended_at_ EASEL_GUARDED_BY(mutex_);
  std::shared_ptr<StoredResult> result_ EASEL_GUARDED_BY(mutex_);
  std::optional<HttpError> error_ EASEL_GUARDED_BY(mutex_);
  bool detached_ EASEL_GUARDED_BY(mutex_);
  bool cancelled_ EASEL_GUARDED_BY(mutex_) = false;
  StepProgress progress_ EASEL_GUARDED_BY(mutex_);  // after the end
  JobStats stats_ EASEL_GUARDED_BY(mutex_);         // after the end
  std::size_t waiters_ EASEL_GUARDED_BY(mutex_) = 0;
  Clock::time_point last_waiter_at_ EASEL_GUARDED_BY(mutex_) = Clock::now();
};

}  // namespace easel::http
