// The engine's policy: short requests leave early, long ones lose nothing by it, nobody starves.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/policy.h"

namespace easel {

/// Two rules and two prices.
///
/// *The lead.* Beside the device there is an imaginary one that all accepted requests share at every moment: accounts
/// by their shares, the requests of an account equally, each level of priority with 8 times the weight of the one
/// below. Whoever would be done there first leads here (the fair sojourn protocol: Friedman and Henderson, SIGMETRICS
/// 2003). So a short request passes long ones; a long one is done no later than with equal shares; and as everybody's
/// imaginary work shrinks with time, everybody leads in the end, however many short ones keep coming and however wrong
/// the estimates are. A request that is really further than it is there counts as far as it really is.
///
/// *The rest.* One part in eight of the device goes to the others by start-time fair queueing (Goyal, Vin and Cheng
/// 1996), again by accounts first. It keeps long requests moving, and is saved up: the lead is broken only when the
/// others' next unit has been paid for, so the last steps of a short request are not.
///
/// *The price of company.* A step is filled with equal keys, the most urgent first. If those who are much longer would
/// make it last more than 1.5 times as long, a short leader travels without them, as long as what this wastes stays
/// below 3 % of the device's time.
///
/// *The price of room.* Where a step has room left, a waiting request of the same model is begun first.
class FairSojourn final : public Policy {
 public:
  explicit FairSojourn(double max_step_seconds) : max_step_seconds_(max_step_seconds) {}

  void arrived(const Claim& claim) override;
  void estimated(std::uint64_t request, double total_seconds, double remaining_seconds) override;
  void left(std::uint64_t request) override;
  std::vector<std::size_t> choose(std::span<const Candidate> candidates, const StepCurve& curve) override;
  void spent(std::span<const DeviceTime> portions) override;

 private:
  struct Account {
    double share = 1;
    double served = 0;  ///< seconds by share, on the scale of start-time fair queueing
    std::size_t requests = 0;
  };
  struct Request {
    std::map<std::string, Account>::iterator account;
    double weight;
    double total;
    double remaining;
    double served;               ///< as Account::served, within the account
    double virtual_seconds = 0;  ///< seconds of it that are done on the imaginary device
    double rate = 0;             ///< of the imaginary device, 0 to 1

    bool shares() const { return virtual_seconds < total; }  ///< is not done there
  };
  using Requests = std::map<std::uint64_t, Request>;
  using Order = std::vector<std::size_t>;

  void update_rates();
  void advance(double seconds);
  double urgency(const Request& request) const;
  double least_served_account() const;
  Order by_urgency(std::span<const Candidate> candidates) const;
  std::optional<std::size_t> next_background(std::span<const Candidate> candidates, std::uint64_t lead) const;
  Order batching(std::span<const Candidate> candidates, Order order, const StepCurve& curve);
  std::size_t fit_step_limit(std::span<const Candidate> candidates, const Order& batch, const StepCurve& curve) const;
  std::size_t drop_long_requests(std::span<const Candidate> candidates, Order& batch, const StepCurve& curve);

  const double max_step_seconds_;
  std::map<std::string, Account> accounts_;
  Requests requests_;
  double virtual_lead_ = 0;  ///< by how much the imaginary device has run ahead of the real one
  double virtual_time_ = 0;  ///< where newcomers open
  std::optional<std::uint64_t> lead_{};
  bool background_waits_ = false;
  double background_credit_ = 0;
  double waste_budget_ = 0;
};

}  // namespace easel
