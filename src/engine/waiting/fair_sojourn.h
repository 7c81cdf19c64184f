// The engine's policy: short requests finish early, long ones are not delayed by it beyond their fair share, and no
// request starves.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/waiting/policy.h"

namespace easel {

/// Which request leads: the policy simulates processor sharing, and runs the request that would finish first there (the
/// Fair Sojourn Protocol: Friedman and Henderson, SIGMETRICS 2003). In the simulation accounts share the device by
/// their shares and the requests of an account share equally, each level of priority with 8 times the weight of the one
/// below. So a short request overtakes long ones, and a long one finishes no later than with equal shares. Every
/// request progresses in the simulation, so each of them leads in the end, however many short ones keep arriving and
/// however wrong the estimates are. A request that has really progressed further than in the simulation counts by its
/// real progress.
///
/// The other requests: they get 1/8 of the device's time by start-time fair queueing (Goyal, Vin and Cheng 1996), first
/// by account, then by request. This keeps long requests moving. The time is saved up as credit, and the leader is
/// interrupted only when the others' next unit is covered by the credit, so the last steps of a short request are not
/// interrupted.
///
/// Batching: a step is filled with images of the same batch key, in order of urgency. If requests that are much longer
/// than the leader would make the step more than 1.5 times as slow, a short leader runs without them, as long as the
/// throughput that this costs stays below 3 % of the device's time. Where a step has room left, a waiting request of
/// the same model is begun first.
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
    double served = 0;  ///< seconds divided by the share, on the time scale of start-time fair queueing
    std::size_t requests = 0;
  };
  struct Request {
    std::map<std::string, Account>::iterator account;
    double weight;
    double total;
    double remaining;
    double served;               ///< as Account::served, within the account
    double virtual_seconds = 0;  ///< seconds of its work that are done in the simulation
    double rate = 0;             ///< its part of the simulated device, 0 to 1

    bool shares() const { return virtual_seconds < total; }  ///< it has not finished in the simulation
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
  double virtual_lead_ = 0;  ///< by how many seconds the simulated device is ahead of the real one
  double virtual_time_ = 0;  ///< Account::served of an account that arrives now
  std::optional<std::uint64_t> lead_{};
  bool background_waits_ = false;
  double background_credit_ = 0;
  double waste_budget_ = 0;
};

}  // namespace easel
