// Overload on a fake clock: one greedy account, queue timeouts, requests of several images, and clients that are
// rejected and come back as OpenAI's SDKs do.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <optional>

#include "simulation.h"

namespace easel::testing {
namespace {

SubmitOptions from(const std::string& account) {
  SubmitOptions options;
  options.account = account;
  return options;
}

std::optional<ErrorCode> end_code(Job& job) {
  try {
    job.take();
  } catch (const Error& error) {
    return error.code();
  }
  return std::nullopt;
}

/// One image at a time, `step_seconds` a step, next to nothing for the rest.
FakeOptions plain_device(double step_seconds) {
  auto device = fake_device([step_seconds](int images) { return step_seconds * images; }, 1, FakeTickets::kSynchronous);
  device.begin_time = device.finish_time = micros(0.01);
  return device;
}

// 64 requests of ten images of 250 steps: they would take 45 hours.
TEST(Overload, GreedyAccountLeavesPlacesAndTimeForOthers) {
  Simulation simulation({fake_cpu()}, {.max_waiting = 64});
  std::vector<std::shared_ptr<QueuedJob>> greedy, others;
  for (std::uint64_t i = 0; i < 64; ++i)
    greedy.push_back(simulation.submit(image_request(100 * i, 250, 10), from("g")));
  EXPECT_THROW(simulation.submit(image_request(0, 1), from("g")), Error);
  for (int i = 0; i < 10; ++i) {
    simulation.at(100 + 60 * i, [&, i] {
      others.push_back(simulation.submit(image_request(10000, 4), from("newcomer " + std::to_string(i % 3))));
    });
  }
  simulation.at(1000, [&] {
    for (const auto& job : greedy) job->cancel();
  });
  simulation.run();
  ASSERT_EQ(others.size(), 10u) << "all of them found a place";
  const double own = kBeginSeconds + 4 + kDecodeSeconds;
  for (const auto& job : others) EXPECT_LE(latency(*job), 2 * own + kDecodeSeconds);
}

struct QueueTimeoutCase {
  std::int64_t steps;
  std::string account;
  std::optional<ErrorCode> expected;
  double seconds;
};

TEST(Overload, QueueTimeoutCountsTheWorkForOtherAccounts) {
  const auto kLate = ErrorCode::kDeadlineExceeded;
  for (const auto& [steps, account, expected, seconds] :
       {QueueTimeoutCase{10, "b", kLate, 600}, QueueTimeoutCase{250, "b", kLate, 750},
        QueueTimeoutCase{10, "a", std::nullopt, 2010}}) {
    Simulation simulation({plain_device(1)}, {.max_active_generations = 1, .max_parked_generations = 0});
    const auto running = simulation.submit(image_request(1, 2000), from("a"));
    auto options = from(account);
    options.queue_timeout = std::chrono::seconds(600);
    std::shared_ptr<QueuedJob> waiting;
    simulation.at(1, [&] { waiting = simulation.submit(image_request(2, steps), options); });
    simulation.run();
    EXPECT_EQ(end_code(*waiting), expected);
    constexpr double kEstimateError = 8;  // of three times the estimate, before a begin and a decode were measured
    EXPECT_NEAR(latency(*waiting), seconds, kEstimateError) << steps << " steps of account " << account;
    EXPECT_EQ(end_code(*running), std::nullopt);
  }
}

TEST(Overload, QueueTimeoutDoesNotCountTheLoadOfTheOwnModel) {
  auto slow = plain_device(1);
  slow.description = fake_description("slow");
  slow.load_time = micros(700);
  Simulation simulation({plain_device(1), slow});
  const auto other = simulation.submit(image_request(1, 2000), from("a"));
  auto options = from("b");
  options.queue_timeout = std::chrono::seconds(600);
  auto request = image_request(2, 10);
  request.model = "slow";
  std::shared_ptr<QueuedJob> patient;
  simulation.at(800, [&] { patient = simulation.submit(request, options); });
  simulation.run();
  EXPECT_EQ(end_code(*patient), std::nullopt);
  EXPECT_GT(latency(*patient), 700) << "the device worked for the other account meanwhile";
  EXPECT_EQ(end_code(*other), std::nullopt);
}

/// Mean latency of probes of `images` images, while 30 clients each send one request of 8 steps after the other.
double mean_latency_under_load(std::int64_t images, std::int64_t steps) {
  constexpr int kClients = 30, kProbes = 30;
  constexpr double kEnd = 3000;
  Simulation simulation({plain_device(1)}, {.max_waiting = 200});
  std::vector<std::shared_ptr<QueuedJob>> load(kClients), probes;
  std::uint64_t seed = 1000;
  std::function<void()> refill = [&] {
    for (std::size_t i = 0; i < load.size(); ++i) {
      if (load[i] && !load[i]->ended()) continue;
      load[i] = simulation.submit(image_request(seed += 100, 8), from("client " + std::to_string(i)));
    }
    if (simulation.seconds() < kEnd) simulation.at(simulation.seconds() + 0.5, refill);
  };
  simulation.at(0, refill);
  for (int i = 0; i < kProbes; ++i) {
    simulation.at(500 + 67.3 * i, [&, i] {
      probes.push_back(
          simulation.submit(image_request(seed += 100, steps, images), from("probe " + std::to_string(i))));
    });
  }
  simulation.run();
  double sum = 0;
  for (const auto& job : probes) sum += latency(*job);
  return sum / kProbes;
}

TEST(Overload, RequestOfManyImagesTakesAsLongAsOneImageOfAllTheirSteps) {
  for (const auto& [images, steps] : std::vector<std::pair<std::int64_t, std::int64_t>>{{4, 1}, {8, 1}, {4, 5}}) {
    const auto one = mean_latency_under_load(1, images * steps), many = mean_latency_under_load(images, steps);
    std::printf("%d images of %d steps under load: %.2f times the time of one image of %d steps\n",
                static_cast<int>(images), static_cast<int>(steps), many / one, static_cast<int>(images * steps));
    EXPECT_LE(many, 1.3 * one);
  }
}

/// Clients with the retry rules of OpenAI's SDKs: two more attempts, after the time that a 429 names.
struct RejectedClients {
  int served = 0;
  double last_end = 0;

  explicit RejectedClients(bool spread) {
    constexpr int kClients = 500;
    Simulation simulation({plain_device(0.25)}, {.max_waiting = 64});
    std::vector<std::shared_ptr<QueuedJob>> accepted;
    std::function<void(int, int)> attempt = [&](int client, int retries_left) {
      const auto options = from("client " + std::to_string(client));
      try {
        accepted.push_back(simulation.submit(image_request(static_cast<std::uint64_t>(client) * 100, 4), options));
      } catch (const Error&) {
        if (retries_left == 0) return;
        const auto advice = simulation.queue->advise_retry(options);
        const auto wait = spread ? std::ceil(advice.retry_after) : 1.0;
        simulation.at(simulation.seconds() + wait,
                      [&attempt, client, retries_left] { attempt(client, retries_left - 1); });
      }
    };
    simulation.at(0, [&] { accepted.push_back(simulation.submit(image_request(1, 4), from("first"))); });
    for (int i = 0; i < kClients; ++i) simulation.at(20 + 0.02 * i, [&attempt, i] { attempt(i, 2); });
    simulation.run();
    served = static_cast<int>(accepted.size()) - 1;
    last_end = simulation.seconds() - 20;
    std::printf("500 clients in 10 s, one request a second, %s: %d served, the last after %.0f s\n",
                spread ? "Retry-After as advised" : "Retry-After 1", served, last_end);
  }
};

TEST(Overload, RejectedClientsAreSpreadOverTheTimeThatServingThemTakes) {
  const RejectedClients soon(/*spread=*/false), advised(/*spread=*/true);
  EXPECT_GE(advised.served, 1.5 * soon.served);
  EXPECT_GE(advised.served, 0.8 * advised.last_end) << "the device was hardly ever idle";
}

TEST(Overload, BlocksOfASlowStepAreProgress) {
  constexpr double kStepSeconds = 4000, kBlockSeconds = kStepSeconds / 4;
  Simulation simulation({fake_device([](int) { return kStepSeconds; }, 1, FakeTickets::kSynchronous)});
  std::vector<double> without_progress;
  for (int second = 100; second < kStepSeconds; second += 100) {
    simulation.at(second, [&] {
      if (const auto busy = simulation.activity().busy()) without_progress.push_back(busy->seconds);
    });
  }
  simulation.submit(image_request(1, /*steps=*/1));
  simulation.run();
  ASSERT_EQ(without_progress.size(), 39u);
  EXPECT_LE(*std::max_element(without_progress.begin(), without_progress.end()), kBlockSeconds);
  EXPECT_GT(*std::max_element(without_progress.begin(), without_progress.end()), kBlockSeconds / 2);
}

}  // namespace
}  // namespace easel::testing
