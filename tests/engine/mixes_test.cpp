// The policy compared with other policies on recorded mixes and two devices, and the bounds that it keeps.
#include <cstdio>
#include <fstream>
#include <map>
#include <sstream>

#include "baselines.h"
#include "simulation.h"

namespace easel::testing {
namespace {

struct Arrival {
  double seconds;
  std::string account;
  std::int64_t steps, images;
};

std::vector<Arrival> read_mix(const std::string& name) {
  std::ifstream file(std::string(EASEL_MIXES_DIR) + "/" + name + ".txt");
  std::vector<Arrival> arrivals;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line.front() == '#') continue;
    std::istringstream fields(line);
    Arrival arrival;
    if (fields >> arrival.seconds >> arrival.account >> arrival.steps >> arrival.images) arrivals.push_back(arrival);
  }
  EXPECT_FALSE(arrivals.empty()) << name;
  return arrivals;
}

enum class PolicyKind { kFairSojourn, kFifo, kStatic };
constexpr PolicyKind kPolicyKinds[] = {PolicyKind::kFairSojourn, PolicyKind::kFifo, PolicyKind::kStatic};
constexpr const char* kPolicyNames[] = {"fair sojourn", "FIFO, whole requests", "static batching"};

struct Device {
  const char* name;
  FakeOptions options;
  CostCurve curve;
  /// The least device time that this work can take.
  double best(const Arrival& arrival) const {
    const auto most = options.max_generations_per_step;
    const auto step = curve(most) / most;
    return kBeginSeconds +
           static_cast<double>(arrival.images) * (static_cast<double>(arrival.steps) * step + kDecodeSeconds);
  }
};
const Device kDevices[] = {{"CPU", fake_cpu(), cpu_cost}, {"GPU", fake_gpu(), gpu_cost}};

std::unique_ptr<Policy> make_policy(PolicyKind kind, const Device& device) {
  if (kind == PolicyKind::kFairSojourn) return make_fair_sojourn(0);
  const auto group = static_cast<std::size_t>(device.options.max_generations_per_step);
  return std::make_unique<GroupByGroup>(kind == PolicyKind::kFifo ? 1 : group);
}

struct Outcome {
  std::vector<Arrival> arrivals;
  std::vector<double> latencies;
  double makespan = 0;
  double images_per_hour = 0;

  std::vector<double> latencies_of(bool is_short) const {
    std::vector<double> chosen;
    for (std::size_t i = 0; i < arrivals.size(); ++i) {
      if ((arrivals[i].steps <= 4) == is_short) chosen.push_back(latencies[i]);
    }
    return chosen;
  }
  /// Jain's index of the accounts' mean slowdowns: 1 if all are equal, 1/n if one of n accounts gets everything.
  double fairness(const Device& device) const {
    std::map<std::string, std::pair<double, int>> slowdowns;
    for (std::size_t i = 0; i < arrivals.size(); ++i) {
      auto& [sum, count] = slowdowns[arrivals[i].account];
      sum += latencies[i] / device.best(arrivals[i]);
      ++count;
    }
    double sum = 0, squares = 0;
    for (const auto& [account, slowdown] : slowdowns) {
      const auto mean = slowdown.first / slowdown.second;
      sum += mean, squares += mean * mean;
    }
    return sum * sum / (static_cast<double>(slowdowns.size()) * squares);
  }
};

Outcome simulate(const std::vector<Arrival>& arrivals, const Device& device, PolicyKind kind) {
  Simulation simulation({device.options}, {.max_waiting = 1000}, make_policy(kind, device));
  std::vector<std::shared_ptr<QueuedJob>> jobs(arrivals.size());
  std::int64_t images = 0;
  for (std::size_t i = 0; i < arrivals.size(); ++i) {
    images += arrivals[i].images;
    simulation.at(arrivals[i].seconds, [&, i] {
      jobs[i] = simulation.submit(image_request(100 * i, arrivals[i].steps, arrivals[i].images),
                                  {.account = arrivals[i].account});
    });
  }
  simulation.run();
  Outcome outcome{.arrivals = arrivals, .latencies = {}};
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    EXPECT_TRUE(jobs[i]->ended());
    outcome.latencies.push_back(latency(*jobs[i]));
    outcome.makespan = std::max(outcome.makespan, arrivals[i].seconds + outcome.latencies[i]);
  }
  outcome.images_per_hour = static_cast<double>(images) / outcome.makespan * 3600;
  return outcome;
}

void print(const std::string& mix, const Device& device, PolicyKind kind, const Outcome& outcome) {
  const auto brief = outcome.latencies_of(true), lengthy = outcome.latencies_of(false);
  std::printf("%-8s %-4s %-21s %8.0f %9.1f %9.1f %9.1f %9.1f %9.2f\n", mix.c_str(), device.name,
              kPolicyNames[static_cast<int>(kind)], outcome.images_per_hour, quantile(brief, 0.5),
              quantile(brief, 0.99), quantile(lengthy, 0.5), quantile(lengthy, 0.99), outcome.fairness(device));
}

// The table of the README, from the code that the server runs.
TEST(Mixes, ComparedWithFifoAndStaticBatching) {
  std::printf("%-8s %-4s %-21s %8s %9s %9s %9s %9s %9s\n", "mix", "on", "policy", "images/h", "short p50", "short p99",
              "long p50", "long p99", "fairness");
  for (const auto* mix : {"office", "backlog", "flood"}) {
    const auto arrivals = read_mix(mix);
    for (const auto& device : kDevices) {
      std::map<PolicyKind, Outcome> outcomes;
      for (const auto kind : kPolicyKinds) {
        outcomes[kind] = simulate(arrivals, device, kind);
        print(mix, device, kind, outcomes[kind]);
      }
      const auto& ours = outcomes[PolicyKind::kFairSojourn];
      SCOPED_TRACE(::testing::Message() << mix << " on " << device.name);
      EXPECT_GE(ours.images_per_hour, 0.97 * outcomes[PolicyKind::kFifo].images_per_hour);
      EXPECT_GE(ours.images_per_hour, 0.97 * outcomes[PolicyKind::kStatic].images_per_hour);
      if (std::string(mix) != "office") continue;
      for (const auto part : {0.5, 0.99}) {
        EXPECT_LT(2 * quantile(ours.latencies_of(true), part),
                  quantile(outcomes[PolicyKind::kFifo].latencies_of(true), part));
      }
    }
  }
}

// Each of three accounts gets a third, so a hundred steps take at most three hundred seconds, and an eighth more.
TEST(Mixes, FloodOfShortRequestsKeepsLongOnesWithinTheirShare) {
  const auto outcome = simulate(read_mix("flood"), kDevices[0], PolicyKind::kFairSojourn);
  EXPECT_LE(quantile(outcome.latencies_of(false), 1), 3 * kDevices[0].best({0, "", 100, 1}) * 8 / 7);
}

TEST(Mixes, GpuReachesNearlyItsPeakThroughput) {
  const auto& gpu = kDevices[1];
  const auto arrivals = read_mix("backlog");
  double best = 0;
  for (const auto& arrival : arrivals) best += gpu.best(arrival);
  EXPECT_GE(best / simulate(arrivals, gpu, PolicyKind::kFairSojourn).makespan, 0.95);
}

// Latencies of a short request that arrives while long ones run, at many moments, each in its own simulation.
std::vector<double> latencies_beside_long_requests(const Device& device, int long_ones) {
  std::vector<double> latencies;
  for (int moment = 0; moment < 40; ++moment) {
    std::vector<Arrival> arrivals;
    for (int i = 0; i < long_ones; ++i) arrivals.push_back({0, "long " + std::to_string(i), 100, 1});
    arrivals.push_back({40 + 1.37 * moment, "short", 4, 1});
    latencies.push_back(simulate(arrivals, device, PolicyKind::kFairSojourn).latencies.back());
  }
  return latencies;
}

TEST(Mixes, ShortRequestAmongLongOnesTakesAtMostTwiceItsTime) {
  for (const auto& device : kDevices) {
    const auto alone = simulate({{0, "short", 4, 1}}, device, PolicyKind::kFairSojourn).latencies.front();
    for (const int long_ones : {1, 3}) {
      const auto p95 = quantile(latencies_beside_long_requests(device, long_ones), 0.95);
      std::printf("a 4-step request along with %d of 100 steps on a %s: p95 %.2f times its time on an idle device\n",
                  long_ones, device.name, p95 / alone);
      EXPECT_LE(p95, 2 * alone);
    }
  }
}

// All places are held by single images of a hundred steps; one of them is parked.
TEST(Mixes, ShortRequestParksALongOneWhenCapacityIsFull) {
  for (const auto& device : kDevices) {
    const auto alone = simulate({{0, "short", 4, 1}}, device, PolicyKind::kFairSojourn).latencies.front();
    std::vector<Arrival> arrivals;
    for (int i = 0; i < 16; ++i) arrivals.push_back({0, "long " + std::to_string(i), 100, 1});
    arrivals.push_back({200, "short", 4, 1});
    const auto latency = simulate(arrivals, device, PolicyKind::kFairSojourn).latencies.back();
    std::printf("a 4-step request along with 16 of 100 steps on a %s: %.2f times its time on an idle device\n",
                device.name, latency / alone);
    EXPECT_LE(latency, 2 * alone) << device.name;
  }
}

// Later long requests do not take the places for parking: those are for much shorter requests.
TEST(Mixes, LongRequestsDoNotUseTheParkingReserve) {
  Simulation simulation({fake_cpu()}, {.max_active_generations = 2, .max_parked_generations = 4});
  std::vector<std::shared_ptr<QueuedJob>> lengthy;
  for (int i = 0; i < 12; ++i) {
    simulation.at(10 * i, [&, i] {
      lengthy.push_back(simulation.submit(image_request(100 * i, 100), {.account = "long " + std::to_string(i)}));
    });
  }
  std::shared_ptr<QueuedJob> brief;
  simulation.at(205, [&] { brief = simulation.submit(image_request(5000, 4), {.account = "short"}); });
  simulation.run();
  EXPECT_LE(latency(*brief), 2 * (kBeginSeconds + 4 + kDecodeSeconds));
  EXPECT_LE(simulation.record->max_live_generations(), 6) << "active and parked images";
}

TEST(Mixes, LongRequestsAreDelayedByNoMoreThanTheShortOnesWork) {
  const auto& cpu = kDevices[0];
  const Arrival brief{60, "short", 4, 1};
  std::vector<Arrival> arrivals;
  for (int i = 0; i < 3; ++i) arrivals.push_back({0, "long " + std::to_string(i), 100, 1});
  const auto without = simulate(arrivals, cpu, PolicyKind::kFairSojourn).latencies;
  arrivals.push_back(brief);
  const auto with = simulate(arrivals, cpu, PolicyKind::kFairSojourn).latencies;
  for (std::size_t i = 0; i < without.size(); ++i) {
    EXPECT_LE(with[i], without[i] + cpu.best(brief) + 1.01) << "to within one step; request " << i;
  }
  EXPECT_NEAR(*std::max_element(with.begin(), with.end() - 1),
              *std::max_element(without.begin(), without.end()) + cpu.best(brief), 0.01);
}

// 200 short requests from different accounts, a new one whenever the last has ended: the long request gets a half.
TEST(Mixes, LongRequestIsNotStarvedByShortOnes) {
  for (const auto& device : kDevices) {
    Simulation simulation({device.options});
    int shorts = 0;
    std::shared_ptr<QueuedJob> brief;
    const auto lengthy = simulation.submit(image_request(1, 100), {.account = "long"});
    std::function<void()> look = [&] {
      if (lengthy->ended()) return;
      if (!brief || brief->ended()) {
        brief = simulation.submit(image_request(1000 + shorts, 4), {.account = "short " + std::to_string(shorts)});
        ++shorts;
      }
      simulation.at(simulation.seconds() + 0.1, look);
    };
    simulation.at(5, look);
    simulation.run();
    const auto alone = kBeginSeconds + 100 + kDecodeSeconds;
    EXPECT_LE(latency(*lengthy), 2.5 * alone) << device.name;
    EXPECT_GE(shorts, 8) << device.name;
  }
}

TEST(Mixes, AccountsShareTheDeviceFairly) {
  const auto& cpu = kDevices[0];
  std::vector<Arrival> arrivals;
  for (int i = 0; i < 9; ++i) arrivals.push_back({0, "many", 20, 1});
  arrivals.push_back({0, "one", 60, 1});
  const auto outcome = simulate(arrivals, cpu, PolicyKind::kFairSojourn);
  // On an idle device it takes 62.8 s; with half of the device 125.6 s, and an eighth more because work is indivisible.
  EXPECT_LE(outcome.latencies.back(), 145);
}

TEST(Mixes, HigherPriorityGoesFirstWithoutStarvingLower) {
  for (const int count : {2, 20}) {
    Simulation simulation({fake_cpu()});
    const auto low = simulation.submit(image_request(1, 20), {.account = "a"});
    std::vector<std::shared_ptr<QueuedJob>> high;
    for (int i = 0; i < count; ++i) {
      high.push_back(simulation.submit(image_request(10 + i, 40), {.account = "b", .priority = 1}));
    }
    simulation.run();
    if (count == 2) {
      EXPECT_LT(latency(*high[0]), latency(*low)) << "although the other one is shorter";
    } else {
      EXPECT_LT(latency(*low), 9 * 23) << "it got its ninth of the device";
    }
  }
}

}  // namespace
}  // namespace easel::testing
