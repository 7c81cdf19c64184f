// Other policies, for comparison.
#pragma once

#include <algorithm>
#include <set>
#include <tuple>

#include "engine/waiting/policy.h"

namespace easel::testing {

/// Work that may share a call, in one order for every policy here: begins, steps, decodes; older first.
inline std::vector<std::size_t> oldest_batch(std::span<const Candidate> candidates,
                                             const std::set<std::uint64_t>& requests) {
  const auto rank = [&](std::size_t i) {
    const auto& c = candidates[i];
    const int stage = c.kind == WorkKind::kBegin ? 0 : c.kind == WorkKind::kStep ? 1 : 2;
    return std::tuple(stage, c.request, c.steps_done, i);
  };
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (requests.contains(candidates[i].request)) order.push_back(i);
  }
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return rank(a) < rank(b); });
  if (order.empty()) return order;
  const auto& leader = candidates[order.front()];
  if (leader.kind != WorkKind::kStep) return {order.front()};
  std::erase_if(order, [&](std::size_t i) {
    const auto& c = candidates[i];
    return c.kind != WorkKind::kStep || c.model != leader.model || c.batch_key != leader.batch_key;
  });
  order.resize(std::min(order.size(), static_cast<std::size_t>(leader.max_batch)));
  return order;
}

/// Completes a group of requests before it starts the next one.
class GroupByGroup : public Policy {
 public:
  /// @param group_size  1: first in, first out, whole requests; more: static batching
  explicit GroupByGroup(std::size_t group_size) : group_size_(group_size) {}

  void arrived(const Claim&) override {}
  void estimated(std::uint64_t, double, double) override {}
  void left(std::uint64_t request) override { group_.erase(request); }
  void spent(std::span<const DeviceTime>) override {}
  std::vector<std::size_t> choose(std::span<const Candidate> candidates, const StepCurve&) override {
    if (group_.empty()) {
      std::set<std::uint64_t> requests;
      for (const auto& candidate : candidates) requests.insert(candidate.request);
      for (const auto request : requests) {
        if (group_.size() < group_size_) group_.insert(request);
      }
    }
    return oldest_batch(candidates, group_);
  }

 private:
  const std::size_t group_size_;
  std::set<std::uint64_t> group_;
};

}  // namespace easel::testing
