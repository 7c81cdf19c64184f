#include "http/sdapi/calls.h"

#include <utility>

namespace easel::http::sdapi {

Calls::Listed::Listed(Calls& calls, std::string account, Call call)
    : calls_(calls), account_(std::move(account)), job_(call.job) {
  const MutexLock lock(calls_.mutex_);
  calls_.running_[account_].push_back(std::move(call));
}

Calls::Listed::~Listed() {
  const MutexLock lock(calls_.mutex_);
  auto& running = calls_.running_[account_];
  std::erase_if(running, [&](const Call& call) { return call.job == job_; });
  if (running.empty()) calls_.running_.erase(account_);
}

std::vector<Call> Calls::of(const std::string& account) const {
  const MutexLock lock(mutex_);
  const auto found = running_.find(account);
  return found == running_.end() ? std::vector<Call>() : found->second;
}

void Calls::interrupt(const std::string& account) {
  for (const auto& call : of(account)) call.job->cancel();
}

void Calls::choose_model(const std::string& account, std::string model) {
  const MutexLock lock(mutex_);
  if (models_.size() >= kMaxChoices && !models_.contains(account)) models_.erase(models_.begin());
  models_[account] = std::move(model);
}

std::string Calls::chosen_model(const std::string& account) const {
  const MutexLock lock(mutex_);
  const auto found = models_.find(account);
  return found == models_.end() ? std::string() : found->second;
}

}  // namespace easel::http::sdapi
