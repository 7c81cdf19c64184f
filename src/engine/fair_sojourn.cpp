#include "engine/fair_sojourn.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <tuple>

namespace easel {

namespace {

// Weight of a level of priority over the one below.
constexpr double kPriorityStep = 8;
// The part of the device that is not the lead's.
constexpr double kRest = 1.0 / 8;
// A request is much longer than another from here on,
constexpr double kMuchLonger = 4;
// company from here on slows the leader too much,
constexpr double kDearCompany = 1.5;
// and this part of the device's time may be spent on sparing it that; so many steps' worth of it can be saved up.
constexpr double kWaste = 0.03;
constexpr double kWasteSaved = 20;
// Less than this is rounding.
constexpr double kNothing = 1e-9;

bool may_join(const Candidate& candidate, const Candidate& leader) {
  return candidate.kind == WorkKind::kStep && !candidate.alone && candidate.model == leader.model &&
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
  account_now_ = std::max(account_now_, least_served_account());
  const auto account = accounts_.try_emplace(claim.account).first;
  account->second.share = claim.share;
  if (account->second.requests++ == 0) account->second.served = std::max(account->second.served, account_now_);
  double served = std::numeric_limits<double>::infinity();  // as the least served of its account
  for (const auto& [number, other] : requests_) {
    if (other.account == account) served = std::min(served, other.served);
  }
  const auto total = std::max(claim.total_seconds, kNothing);
  requests_.insert_or_assign(claim.request, Request{.account = account,
                                                    .weight = std::pow(kPriorityStep, claim.priority),
                                                    .total = total,
                                                    .remaining = total,
                                                    .served = std::isfinite(served) ? served : 0});
  share_anew();
}

void FairSojourn::estimated(std::uint64_t number, double total_seconds, double remaining_seconds) {
  const auto found = requests_.find(number);
  if (found == requests_.end()) return;
  auto& request = found->second;
  const bool shared = request.shares();
  request.total = std::max(total_seconds, kNothing);
  request.remaining = remaining_seconds;
  if (request.shares() != shared) share_anew();
}

void FairSojourn::left(std::uint64_t number) {
  const auto found = requests_.find(number);
  if (found == requests_.end()) return;
  --found->second.account->second.requests;
  requests_.erase(found);
  account_now_ = std::max(account_now_, least_served_account());
  // An account that has had more than the others is remembered, so that leaving and coming back gains nothing.
  std::erase_if(accounts_, [this](const auto& entry) {
    return entry.second.requests == 0 && (entry.second.served <= account_now_ || requests_.empty());
  });
  share_anew();
}

// Rates on the imaginary device: accounts by share, times the highest priority they have there; within an account by
// weight.
void FairSojourn::share_anew() {
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
  imaginary_debt_ -= seconds;
  while (imaginary_debt_ < 0) {
    Request* first = nullptr;
    double until_done = 0;
    for (auto& [number, request] : requests_) {
      const auto until_its_end = (request.total - request.imagined) / request.rate;
      if (!request.shares() || (first && until_its_end >= until_done)) continue;
      first = &request;
      until_done = until_its_end;
    }
    if (!first) break;
    const auto time = std::min(-imaginary_debt_, until_done);
    for (auto& [number, request] : requests_) {
      if (request.shares()) request.imagined += time * request.rate;
    }
    imaginary_debt_ += time;
    if (time < until_done) break;
    first->imagined = first->total;
    share_anew();
  }
  imaginary_debt_ = std::max(imaginary_debt_, 0.0);  // what nobody was there to use is lost
}

// Seconds until it would be done on the imaginary device.
double FairSojourn::urgency(const Request& request) const {
  if (!request.shares()) return 0;
  return std::min(request.total - request.imagined, request.remaining) / request.rate;
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
  const auto rest = first_of_the_rest(candidates, *lead_);
  rest_waits_ = rest.has_value();
  if (!rest) {
    owed_to_rest_ = 0;
  } else if (owed_to_rest_ >= candidates[*rest].seconds * (1 - kRest)) {
    const auto place = std::find(order.begin(), order.end(), *rest);
    std::rotate(order.begin(), place, place + 1);
  }
  const auto& leader = candidates[order.front()];
  if (leader.kind != WorkKind::kStep || leader.alone) return {order.front()};
  return company(candidates, std::move(order), curve);
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

std::optional<std::size_t> FairSojourn::first_of_the_rest(std::span<const Candidate> candidates,
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

FairSojourn::Order FairSojourn::company(std::span<const Candidate> candidates, Order order, const StepCurve& curve) {
  const auto& leader = candidates[order.front()];
  const auto begin = std::find_if(order.begin(), order.end(), [&](std::size_t i) {
    return candidates[i].kind == WorkKind::kBegin && candidates[i].model == leader.model;
  });
  const auto to_begin = begin == order.end() ? order.front() : *begin;

  Order together = std::move(order);
  const auto most = static_cast<std::size_t>(std::max(1, leader.most_at_once));
  std::erase_if(together, [&](std::size_t i) { return !may_join(candidates[i], leader); });
  const bool room = together.size() < most;
  together.resize(std::min(together.size(), most));
  const auto bound = within_the_bound(candidates, together, curve);
  const bool bounded = bound < together.size();
  together.resize(bound);
  const auto chosen = without_the_long(candidates, together, curve);
  const bool travels_light = chosen < together.size();
  together.resize(chosen);
  if (room && !bounded && !travels_light && candidates[to_begin].kind == WorkKind::kBegin) return {to_begin};
  return together;
}

std::size_t FairSojourn::within_the_bound(std::span<const Candidate> candidates, const Order& together,
                                          const StepCurve& curve) const {
  auto count = together.size();
  if (max_step_seconds_ <= 0) return count;
  const auto& leader = candidates[together.front()];
  for (; count > 1; --count) {
    const auto rows = rows_of(candidates, std::span(together).first(count));
    const auto seconds = curve(leader.model, leader.batch_key, rows);
    if (!seconds || *seconds <= max_step_seconds_) break;
  }
  return count;
}

// Puts those who are not much longer than the leader first. @return how many of `together` to take
std::size_t FairSojourn::without_the_long(std::span<const Candidate> candidates, Order& together,
                                          const StepCurve& curve) {
  const auto& leader = candidates[together.front()];
  const auto limit = kMuchLonger * requests_.at(leader.request).remaining;
  const auto first_long = std::stable_partition(together.begin(), together.end(), [&](std::size_t i) {
    return candidates[i].request == leader.request || requests_.at(candidates[i].request).remaining <= limit;
  });
  const auto full = together.size();
  auto count = static_cast<std::size_t>(first_long - together.begin());
  if (count == full) return full;

  const auto seconds = [&](std::size_t pictures) {
    return curve(leader.model, leader.batch_key, rows_of(candidates, std::span(together).first(pictures)));
  };
  const auto alone = seconds(count), filled = seconds(full);
  if (!alone || !filled || *filled <= kDearCompany * *alone) return full;
  while (count + 1 < full && seconds(count + 1).value_or(*filled) <= kDearCompany * *alone) ++count;
  const auto waste = *seconds(count) - *filled * static_cast<double>(count) / static_cast<double>(full);
  waste_allowed_ = std::min(waste_allowed_, kWasteSaved * *filled);
  if (waste > waste_allowed_) return full;
  waste_allowed_ -= std::max(waste, 0.0);
  return count;
}

void FairSojourn::spent(std::span<const Portion> portions) {
  double all = 0;
  for (const auto& [number, seconds] : portions) {
    all += seconds;
    if (rest_waits_) owed_to_rest_ += number == lead_ ? seconds * kRest : -seconds * (1 - kRest);
    const auto found = requests_.find(number);
    if (found == requests_.end()) continue;
    auto& request = found->second;
    auto& account = request.account->second;
    request.served += seconds / request.weight;
    account.served += seconds / account.share;
  }
  owed_to_rest_ = std::max(owed_to_rest_, 0.0);
  waste_allowed_ = std::max(0.0, waste_allowed_ + kWaste * all);
  advance(all);
}

}  // namespace easel
