// The registry and its thread.
#include "http/openai/jobs/kept_requests.h"

#include <algorithm>
#include <optional>

#include "core/log.h"

namespace easel::http {
namespace {

HttpFailure key_reused() {
  return HttpFailure({.status = 400,
                      .message = "The Idempotency-Key was sent before with another request; use a new key for it.",
                      .code = "idempotency_key_reused"});
}

}  // namespace

KeptRequests::~KeptRequests() {
  std::thread keeper;
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    for (const auto& request : running_) request->cancel();
    keeper = std::move(keeper_);
    changed_.notify_all();
  }
  if (keeper.joinable()) keeper.join();
}

std::shared_ptr<KeptRequest> KeptRequests::add(const std::string& account, bool detached, const Submit& submit) {
  const MutexLock lock(mutex_);
  drop_expired();
  return add_locked(account, detached, submit);
}

std::shared_ptr<KeptRequest> KeptRequests::add_locked(const std::string& account, bool detached, const Submit& submit) {
  if (!keeper_.joinable()) keeper_ = std::thread([this] { keep(); });
  auto request = std::make_shared<KeptRequest>(account, submit(), detached);
  running_.push_back(request);
  if (detached) jobs_[request->id()] = request;
  changed_.notify_all();
  return request;
}

KeptRequests::Keyed KeptRequests::add_or_join(const std::string& account, const std::string& key,
                                              const std::string& fingerprint, bool detached, const Submit& submit) {
  const MutexLock lock(mutex_);
  drop_expired();
  const KeyName name(account, key);
  const auto found = keys_.find(name);
  if (found != keys_.end()) {
    if (found->second.fingerprint != fingerprint) throw key_reused();
    const auto& request = found->second.request;
    const bool lost = request->ended_at() && !request->has_result();
    const bool cancelled = request->status() == KeptRequest::Status::kCancelled;
    if (!lost && !cancelled) {
      if (detached) make_job(request);
      return {.request = request, .replayed = true};
    }
  }
  auto request = add_locked(account, detached, submit);
  if (found == keys_.end()) keys_by_age_.push_back(name);
  keys_[name] = {.fingerprint = fingerprint, .request = request, .added_at = Clock::now()};
  return {.request = std::move(request)};
}

void KeptRequests::make_job(const std::shared_ptr<KeptRequest>& request) {
  if (!request->detach()) return;
  jobs_[request->id()] = request;
  const bool is_running = std::find(running_.begin(), running_.end(), request) != running_.end();
  if (!is_running) ended_.push_back(request);  // else the keeper does it
}

std::shared_ptr<KeptRequest> KeptRequests::find(const std::string& id, const std::string* account) const {
  const MutexLock lock(mutex_);
  const auto found = jobs_.find(id);
  if (found == jobs_.end()) return nullptr;
  const auto ended = found->second->ended_at();
  const bool expired = ended && Clock::now() >= *ended + times_.after_end;
  const bool visible = !account || found->second->account() == *account;
  return visible && !expired ? found->second : nullptr;
}

std::size_t KeptRequests::running() const {
  const MutexLock lock(mutex_);
  return running_.size();
}

void KeptRequests::drop_expired() {
  const auto now = Clock::now();
  const auto expired = [&](const std::shared_ptr<KeptRequest>& job) {
    return now >= *job->ended_at() + times_.after_end;
  };
  while (!ended_.empty() && (ended_.size() > kMaxRecords || expired(ended_.front()))) {
    jobs_.erase(ended_.front()->id());
    ended_.pop_front();
  }
  while (!keys_by_age_.empty()) {
    const auto oldest = keys_.find(keys_by_age_.front());
    if (keys_.size() <= kMaxRecords && now < oldest->second.added_at + times_.key) break;
    keys_.erase(oldest);
    keys_by_age_.pop_front();
  }
}

// Waits until there is a reason to look at the running requests, and copies them. False: the end.
bool KeptRequests::wait_for_work(std::vector<std::shared_ptr<KeptRequest>>& running) {
  const MutexLock lock(mutex_);
  while (!stopping_ && running_.empty()) changed_.wait(mutex_);
  if (stopping_) return false;
  changed_.wait_until(mutex_, Clock::now() + times_.poll);
  running = running_;
  return !stopping_;
}

void KeptRequests::keep() {
  std::vector<std::shared_ptr<KeptRequest>> running;
  while (wait_for_work(running)) {
    for (const auto& request : running) {
      if (!request->finish(store_, times_.grace)) continue;
      log::debug("a kept request has ended", {{"id", request->id()}});
      const MutexLock lock(mutex_);
      running_.erase(std::find(running_.begin(), running_.end(), request));
      if (request->detached()) ended_.push_back(request);
    }
    running.clear();
  }
}

}  // namespace easel::http
