#include "engine/waiting/fair_sojourn.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <tuple>

namespace easel {

namespace {

// Weight of a level of priority relative to the one below.
constexpr double kPriorityWeight = 8;
// The part of the device's time that the leader does not get while others wait.
constexpr double kBackgroundShare = 1.0 / 8;
// A request that needs more than this many times the leader's remaining time is much longer.
constexpr double kMuchLonger = 4;
// Much longer requests are dropped from a step if they would make it this many times as slow.
constexpr double kMaxSlowdown = 1.5;
// The part of the device's time that dropping them may cost, and how many steps' worth of it can be saved up.
constexpr double kWasteShare = 0.03;
constexpr double kMaxSavedWaste = 20;
// Shorter work would make rates infinite, in seconds.
constexpr double kEpsilon = 1e-9;

bool may_join(const Candidate& candidate, const Candidate& leader) {
  return candidate.kind == WorkKind::kStep && !candidate.isolated && candidate.model == leader.model &&
         candidate.batch_key == leader.batch_key;
}

int rows_of(std::span<const Candidate> candidates, std::span<const std::size_t> chosen) {
  return std::accumulate(chosen.begin(), chosen.end(), 0,
                         [&](int rows, std::size_t i) { return rows + candidates[i].rows; });
}

}  // namespace

std::unique_ptr<Policy> make_fair_sojourn(double max_step_seconds) {
  return std::make_unique<FairSojourn>(max_step_seconds);
}

void FairSojourn::arrived(const Claim& claim) {
  virtual_time_ = std::max(virtual_time_, least_served_account());
  const auto account = accounts_.try_emplace(claim.account).first;
  account->second.share = claim.share;
  if (account->second.requests++ == 0) account->second.served = std::max(account->second.served, virtual_time_);
  double served = std::numeric_limits<double>::infinity();  // a new request starts level with the least served one
  for (const auto& [number, other] : requests_) {
    if (other.account == account) served = std::min(served, other.served);
  }
  const auto total = std::max(claim.total_seconds, kEpsilon);
  requests_.insert_or_assign(claim.request, Request{.account = account,
                                                    .weight = std::pow(kPriorityWeight, claim.priority),
                                                    .total = total,
                                                    .remaining = total,
                                                    .served = std::isfinite(served) ? served : 0});
  update_rates();
}

void FairSojourn::estimated(std::uint64_t number, double total_seconds, double remaining_seconds) {
  const auto found = requests_.find(number);
  if (found == requests_.end()) return;
  auto& request = found->second;
  const bool shared = request.shares();
  request.total = std::max(total_seconds, kEpsilon);
  request.remaining = remaining_seconds;
  if (request.shares() != shared) update_rates();
}

void FairSojourn::left(std::uint64_t number) {
  const auto found = requests_.find(number);
  if (found == requests_.end()) return;
  --found->second.account->second.requests;
  requests_.erase(found);
  virtual_time_ = std::max(virtual_time_, least_served_account());
  // An account that was served more than the others is remembered, so that it gains nothing by leaving and returning.
  std::erase_if(accounts_, [this](const auto& entry) {
    return entry.second.requests == 0 && (entry.second.served <= virtual_time_ || requests_.empty());
  });
  update_rates();
}

// Rates on the simulated device: accounts by share times the highest weight among their requests, then the requests of
// an account by weight.
void FairSojourn::update_rates() {
  struct Sum {
    double weights = 0, highest = 0;
  };
  std::map<const Account*, Sum> sums;
  for (const auto& [number, request] : requests_) {
    if (!request.shares()) continue;
    auto& sum = sums[&request.account->second];
    sum.weights += request.weight;
    sum.highest = std::max(sum.highest, request.weight);
  }
  double all = 0;
  for (const auto& [account, sum] : sums) all += account->share * sum.highest;
  for (auto& [number, request] : requests_) {
    if (!request.shares()) continue;
    const auto& account = request.account->second;
    const auto& sum = sums[&account];
    request.rate = account.share * sum.highest / all * request.weight / sum.weights;
  }
}

void FairSojourn::advance(double seconds) {
  virtual_lead_ -= seconds;
  while (virtual_lead_ < 0) {
    Request* first = nullptr;
    double until_done = 0;
    for (auto& [number, request] : requests_) {
      const auto until_request_done = (request.total - request.virtual_seconds) / request.rate;
      if (!request.shares() || (first && until_request_done >= until_done)) continue;
      first = &request;
      until_done = until_request_done;
    }
    if (!first) break;
    const auto time = std::min(-virtual_lead_, until_done);
    for (auto& [number, request] : requests_) {
      if (request.shares()) request.virtual_seconds += time * request.rate;
    }
    virtual_lead_ += time;
    if (time < until_done) break;
    first->virtual_seconds = first->total;
    update_rates();
  }
  virtual_lead_ = std::max(virtual_lead_, 0.0);  // time that no request could use is lost
}

// Seconds until it would finish on the simulated device.
double FairSojourn::urgency(const Request& request) const {
  if (!request.shares()) return 0;
  return std::min(request.total - request.virtual_seconds, request.remaining) / request.rate;
}

double FairSojourn::least_served_account() const {
  double least = std::numeric_limits<double>::infinity();
  for (const auto& [name, account] : accounts_) {
    if (account.requests > 0) least = std::min(least, account.served);
  }
  return std::isfinite(least) ? least : 0;
}

std::vector<std::size_t> FairSojourn::choose(std::span<const Candidate> candidates, const StepCurve& curve) {
  if (candidates.empty()) return {};
  auto order = by_urgency(candidates);
  lead_ = candidates[order.front()].request;
  const auto background = next_background(candidates, *lead_);
  background_waits_ = background.has_value();
  if (!background) {
    background_credit_ = 0;
  } else if (background_credit_ >= candidates[*background].seconds * (1 - kBackgroundShare)) {
    const auto position = std::find(order.begin(), order.end(), *background);
    std::rotate(order.begin(), position, position + 1);
  }
  const auto& leader = candidates[order.front()];
  if (leader.kind != WorkKind::kStep || leader.isolated) return {order.front()};
  return batching(candidates, std::move(order), curve);
}

FairSojourn::Order FairSojourn::by_urgency(std::span<const Candidate> candidates) const {
  std::vector<double> urgencies;
  for (const auto& candidate : candidates) urgencies.push_back(urgency(requests_.at(candidate.request)));
  const auto rank = [&](std::size_t i) {
    const auto& candidate = candidates[i];
    return std::tuple(urgencies[i], candidate.request, candidate.kind, candidate.steps_done, i);
  };
  Order order(candidates.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return rank(a) < rank(b); });
  return order;
}

std::optional<std::size_t> FairSojourn::next_background(std::span<const Candidate> candidates,
                                                        std::uint64_t lead) const {
  const auto rank = [&](const Candidate& candidate) {
    const auto& request = requests_.at(candidate.request);
    return std::tuple(request.account->second.served, request.served, candidate.request, candidate.kind,
                      candidate.steps_done);
  };
  std::optional<std::size_t> first;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (candidates[i].request == lead) continue;
    if (!first || rank(candidates[i]) < rank(candidates[*first])) first = i;
  }
  return first;
}

FairSojourn::Order FairSojourn::batching(std::span<const Candidate> candidates, Order order, const StepCurve& curve) {
  const auto& leader = candidates[order.front()];
  const auto begin = std::find_if(order.begin(), order.end(), [&](std::size_t i) {
    return candidates[i].kind == WorkKind::kBegin && candidates[i].model == leader.model;
  });
  const auto to_begin = begin == order.end() ? order.front() : *begin;

  Order batch = std::move(order);
  const auto most = static_cast<std::size_t>(std::max(1, leader.max_batch));
  std::erase_if(batch, [&](std::size_t i) { return !may_join(candidates[i], leader); });
  const bool room = batch.size() < most;
  batch.resize(std::min(batch.size(), most));
  const auto bound = fit_step_limit(candidates, batch, curve);
  const bool bounded = bound < batch.size();
  batch.resize(bound);
  const auto chosen = drop_long_requests(candidates, batch, curve);
  const bool drops_long = chosen < batch.size();
  batch.resize(chosen);
  if (room && !bounded && !drops_long && candidates[to_begin].kind == WorkKind::kBegin) return {to_begin};
  return batch;
}

std::size_t FairSojourn::fit_step_limit(std::span<const Candidate> candidates, const Order& batch,
                                        const StepCurve& curve) const {
  auto count = batch.size();
  if (max_step_seconds_ <= 0) return count;
  const auto& leader = candidates[batch.front()];
  for (; count > 1; --count) {
    const auto rows = rows_of(candidates, std::span(batch).first(count));
    const auto seconds = curve(leader.model, leader.batch_key, rows);
    if (!seconds || *seconds <= max_step_seconds_) break;
  }
  return count;
}

// Moves images that are not much longer than the leader to the front. @return how many of `batch` to take
std::size_t FairSojourn::drop_long_requests(std::span<const Candidate> candidates, Order& batch,
                                            const StepCurve& curve) {
  const auto& leader = candidates[batch.front()];
  const auto limit = kMuchLonger * requests_.at(leader.request).remaining;
  const auto first_long = std::stable_partition(batch.begin(), batch.end(), [&](std::size_t i) {
    return candidates[i].request == leader.request || requests_.at(candidates[i].request).remaining <= limit;
  });
  const auto full = batch.size();
  auto count = static_cast<std::size_t>(first_long - batch.begin());
  if (count == full) return full;

  const auto seconds = [&](std::size_t images) {
    return curve(leader.model, leader.batch_key, rows_of(candidates, std::span(batch).first(images)));
  };
  const auto isolated = seconds(count), filled = seconds(full);
  if (!isolated || !filled || *filled <= kMaxSlowdown * *isolated) return full;
  while (count + 1 < full && seconds(count + 1).value_or(*filled) <= kMaxSlowdown * *isolated) ++count;
  const auto waste = *seconds(count) - *filled * static_cast<double>(count) / static_cast<double>(full);
  waste_budget_ = std::min(waste_budget_, kMaxSavedWaste * *filled);
  if (waste > waste_budget_) return full;
  waste_budget_ -= std::max(waste, 0.0);
  return count;
}

void FairSojourn::spent(std::span<const DeviceTime> portions) {
  double all = 0;
  for (const auto& [number, seconds] : portions) {
    all += seconds;
    if (background_waits_)
      background_credit_ += number == lead_ ? seconds * kBackgroundShare : -seconds * (1 - kBackgroundShare);
    const auto found = requests_.find(number);
    if (found == requests_.end()) continue;
    auto& request = found->second;
    auto& account = request.account->second;
    request.served += seconds / request.weight;
    account.served += seconds / account.share;
  }
  background_credit_ = std::max(background_credit_, 0.0);
  waste_budget_ = std::max(0.0, waste_budget_ + kWasteShare * all);
  advance(all);
}

}  // namespace easel
