// Random schedules of arrivals, cancellations, faults, drains and destruction, on several threads. In each of them
// every accepted request ends once and in the right way, bounds hold, the pipeline's contract is kept and nothing is
// left over.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <thread>

#include "harness.h"

namespace easel::testing {
namespace {

// Most schedules are simulated; these few show that threads change nothing.
constexpr int kSchedules = 400;
constexpr int kRequestsPerThread = 4;
constexpr std::uint64_t kSeedsApart = 100;  // more than a request has images

using Dice = std::mt19937;

int roll(Dice& dice, int low, int high) {
  return std::uniform_int_distribution(low, high)(dice);
}
bool chance(Dice& dice, int percent) {
  return roll(dice, 1, 100) <= percent;
}

struct Schedule {
  EngineOptions engine;
  std::vector<FakeOptions> models;
  int threads;
  bool has_device_errors = false;
  std::map<std::uint64_t, ErrorCode> guilty;  // first seed of a request -> how it must fail
};

enum class Ending { kAnswers, kDrain, kDestroy };

FakeFault make_fault(Dice& dice, std::uint64_t seed) {
  constexpr FakeFault::How kHows[] = {FakeFault::How::kError, FakeFault::How::kStdException,
                                      FakeFault::How::kNotException, FakeFault::How::kDeviceError,
                                      FakeFault::How::kNotFinite};
  constexpr FakeCallKind kWheres[] = {FakeCallKind::kBegin, FakeCallKind::kStep, FakeCallKind::kFinish};
  FakeFault fault{.where = kWheres[roll(dice, 0, 2)], .seed = seed, .step = 0, .how = kHows[roll(dice, 0, 4)]};
  if (fault.how == FakeFault::How::kNotFinite) fault.where = FakeCallKind::kStep;
  if (fault.how == FakeFault::How::kError && chance(dice, 50)) fault.code = ErrorCode::kUnsupported;
  return fault;
}

Schedule make_schedule(Dice& dice) {
  Schedule schedule;
  schedule.threads = roll(dice, 1, 3);
  schedule.engine = {.max_waiting = static_cast<std::size_t>(roll(dice, 1, 12)),
                     .max_active_generations = roll(dice, 1, 6),
                     .max_parked_generations = roll(dice, 0, 3),
                     .max_steps_in_flight = roll(dice, 1, 3)};
  std::vector<FakeFault> faults;
  for (int i = 0; i < schedule.threads * kRequestsPerThread; ++i) {
    if (!chance(dice, 20)) continue;
    const auto fault = make_fault(dice, kSeedsApart * i);
    faults.push_back(fault);
    schedule.guilty[fault.seed] = expected_code(fault);
    schedule.has_device_errors |= fault.how == FakeFault::How::kDeviceError;
  }
  for (int i = roll(dice, 1, 3); i > 1; --i) schedule.engine.devices.push_back("gpu " + std::to_string(i));
  for (const auto* id : {"fake", "other"}) {
    schedule.models.push_back({.description = fake_description(id),
                               .max_generations_per_step = roll(dice, 1, 4),
                               .tickets = static_cast<FakeTickets>(roll(dice, 0, 2)),
                               .step_time = std::chrono::microseconds(chance(dice, 20) ? 50 : 0),
                               .steps_per_phase = roll(dice, 0, 3),
                               .step_memory = roll(dice, 1, 4),
                               .faults = faults});
  }
  return schedule;
}

GenerationRequest make_request(Dice& dice, std::uint64_t seed) {
  auto request = fake_request(seed, roll(dice, 1, 6), roll(dice, 1, 4));
  request.model = chance(dice, 70) ? "fake" : "other";
  request.guidance_scale = chance(dice, 50) ? 1.0 : 7.5;
  if (chance(dice, 30)) request.width = request.height = 16;
  return request;
}

struct Submitted {
  GenerationRequest request;
  std::shared_ptr<Job> job;
  bool cancelled = false;
};

// One client: submits, cancels some requests, sometimes pauses.
std::vector<Submitted> run_client(Engine& engine, int thread, unsigned seed) {
  Dice dice(seed);
  std::vector<Submitted> submitted;
  for (int i = 0; i < kRequestsPerThread; ++i) {
    const auto first_seed = kSeedsApart * static_cast<std::uint64_t>(thread * kRequestsPerThread + i);
    Submitted each{make_request(dice, first_seed), nullptr};
    try {
      each.job = engine.submit(each.request);
    } catch (const Error& error) {
      EXPECT_TRUE(error.code() == ErrorCode::kResourceExhausted || error.code() == ErrorCode::kUnavailable)
          << error.what();
      continue;
    }
    submitted.push_back(std::move(each));
    if (chance(dice, 30)) std::this_thread::yield();
    if (chance(dice, 25)) {
      auto& victim = submitted[static_cast<std::size_t>(roll(dice, 0, static_cast<int>(submitted.size()) - 1))];
      victim.cancelled = true;
      victim.job->cancel();
    }
    const auto progress = submitted.back().job->progress();
    EXPECT_LE(progress.steps_done, progress.steps_total);
  }
  return submitted;
}

// Checks that the request ended in a way that is possible after what was done to it.
void check_result(const Schedule& schedule, const Submitted& submitted, Ending ending) {
  ASSERT_TRUE(submitted.job->wait_for(std::chrono::seconds(60))) << "no answer";
  const auto result = result_of(*submitted.job);
  submitted.job->cancel();  // a job that has ended does not change
  if (result.error) {
    const auto again = result_of(*submitted.job);
    EXPECT_EQ(again.code(), result.code());
    EXPECT_EQ(again.message(), result.message());
  }

  if (submitted.cancelled && result.code() == ErrorCode::kCancelled) return;
  if (ending == Ending::kDestroy && result.code() == ErrorCode::kUnavailable) return;
  const auto guilty = schedule.guilty.find(submitted.request.seed);
  if (guilty != schedule.guilty.end()) {
    ASSERT_TRUE(result.error) << "seed " << guilty->first << " should have failed";
    // A device error in a shared step may have failed it first.
    EXPECT_TRUE(result.code() == guilty->second || schedule.has_device_errors) << result.message();
  } else if (result.error) {
    EXPECT_TRUE(schedule.has_device_errors && result.code() == ErrorCode::kInternal) << result.message();
  } else {
    expect_images(submitted.request, result);
  }
}

void run_schedule(unsigned seed) {
  SCOPED_TRACE(::testing::Message() << "schedule " << seed);
  Dice dice(seed);
  const auto schedule = make_schedule(dice);
  const auto ending = static_cast<Ending>(roll(dice, 0, 2));
  const auto record = std::make_shared<FakeRecord>();
  std::vector<ServedModel> served;
  for (const auto& model : schedule.models) served.push_back(served_fake(model, record));
  auto engine = make_engine(std::move(served), schedule.engine);

  std::vector<std::vector<Submitted>> submitted(static_cast<std::size_t>(schedule.threads));
  std::vector<std::thread> clients;
  for (int i = 0; i < schedule.threads; ++i) {
    clients.emplace_back([&, i, client_seed = dice()] { submitted[i] = run_client(*engine, i, client_seed); });
  }
  const bool drain_early = ending == Ending::kDrain && chance(dice, 50);
  if (drain_early) engine->drain();  // while clients still submit
  for (auto& client : clients) client.join();
  if (ending == Ending::kDrain) {
    engine->drain();
    EXPECT_EQ(record->live_generations(), 0);
  }
  if (ending == Ending::kDestroy) engine.reset();
  for (const auto& of_thread : submitted) {
    for (const auto& each : of_thread) check_result(schedule, each, ending);
  }
  engine.reset();

  EXPECT_EQ(record->live_generations(), 0);
  EXPECT_EQ(record->tickets_in_flight(), 0);
  EXPECT_LE(record->max_tickets_in_flight(), schedule.engine.max_steps_in_flight);
  EXPECT_LE(record->max_live_generations(),
            schedule.engine.max_active_generations + schedule.engine.max_parked_generations);
  for (const auto& sentence : record->violations()) ADD_FAILURE() << sentence;
  // Only the client still holds the job: the engine has released it.
  for (const auto& of_thread : submitted) {
    for (const auto& each : of_thread) EXPECT_EQ(each.job.use_count(), 1);
  }
}

TEST(Schedules, EveryRequestEndsExactlyOnce) {
  for (unsigned seed = 0; seed < kSchedules && !::testing::Test::HasFailure(); ++seed) run_schedule(seed);
}

}  // namespace
}  // namespace easel::testing
