// All kept requests: jobs by their ids, and requests by their idempotency keys.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/mutex.h"
#include "http/openai/jobs/kept_request.h"

namespace easel::http {

/// How long requests are kept.
struct KeepingTimes {
  std::chrono::milliseconds after_end = std::chrono::minutes(60);  ///< of jobs
  std::chrono::milliseconds key = std::chrono::hours(24);          ///< of idempotency keys, if their images last
  /// Of a request with a key after the last client that waited for it has left, so that one that tries again finds it.
  std::chrono::milliseconds grace = std::chrono::seconds(15);
  std::chrono::milliseconds poll = std::chrono::milliseconds(20);  ///< from the end of a request until it is noticed
};

/// Thread-safe. A thread of its own, started by the first request, encodes the images of requests that have ended and
/// moves them into the image store. Records are small and bounded in number: the oldest ended ones are dropped first.
/// Everything is in memory only.
class KeptRequests {
 public:
  static constexpr std::size_t kMaxRecords = 10'000;  ///< ended jobs, and keys

  explicit KeptRequests(ImageStore& store, const KeepingTimes& times = {}) : store_(store), times_(times) {}
  /// Cancels what is running.
  ~KeptRequests();
  KeptRequests(const KeptRequests&) = delete;
  KeptRequests& operator=(const KeptRequests&) = delete;

  /// Submits a request to the engine. It is called while other calls of this object wait.
  using Submit = std::function<AcceptedRequest()>;

  /// @param detached  it becomes a job, which find() finds
  /// @throws what `submit` throws
  std::shared_ptr<KeptRequest> add(const std::string& account, bool detached, const Submit& submit);

  /// A request with an idempotency key: the one that is running or was answered, or a new one.
  struct Keyed {
    std::shared_ptr<KeptRequest> request;
    bool replayed = false;  ///< it is not a new one
  };
  /// Keys are per account. A failed request is forgotten, so that trying again makes sense.
  /// @param fingerprint  of the request: see request_fingerprint()
  /// @throws HttpFailure(400)  code idempotency_key_reused: another request has the key
  Keyed add_or_join(const std::string& account, const std::string& key, const std::string& fingerprint, bool detached,
                    const Submit& submit);

  /// The job of that id; null: it never existed, is no longer kept, or is another account's.
  /// @param account  null: everybody who knows the id may see the job
  std::shared_ptr<KeptRequest> find(const std::string& id, const std::string* account) const;

  /// The running requests of an account.
  std::size_t running() const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Key {
    std::string fingerprint;
    std::shared_ptr<KeptRequest> request;
    Clock::time_point added_at;
  };
  using KeyName = std::pair<std::string, std::string>;  // account and key

  std::shared_ptr<KeptRequest> add_locked(const std::string& account, bool detached, const Submit& submit)
      EASEL_REQUIRES(mutex_);
  void make_job(const std::shared_ptr<KeptRequest>& request) EASEL_REQUIRES(mutex_);
  void drop_expired() EASEL_REQUIRES(mutex_);
  void keep();
  bool wait_for_work(std::vector<std::shared_ptr<KeptRequest>>& running);

  ImageStore& store_;
  const KeepingTimes times_;

  mutable Mutex mutex_;
  CondVar changed_;
  bool stopping_ EASEL_GUARDED_BY(mutex_) = false;
  std::vector<std::shared_ptr<KeptRequest>> running_ EASEL_GUARDED_BY(mutex_);
  std::map<std::string, std::shared_ptr<KeptRequest>> jobs_ EASEL_GUARDED_BY(mutex_);  // by id
  std::deque<std::shared_ptr<KeptRequest>> ended_ EASEL_GUARDED_BY(mutex_);            // of jobs_, oldest first
  std::map<KeyName, Key> keys_ EASEL_GUARDED_BY(mutex_);
  std::deque<KeyName> keys_by_age_ EASEL_GUARDED_BY(mutex_);  // oldest first
  std::thread keeper_ EASEL_GUARDED_BY(mutex_);
};

}  // namespace easel::http
