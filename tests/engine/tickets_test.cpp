// An asynchronous device: which calls may overlap, how many, and which results arrive late.
#include <gmock/gmock.h>

#include <thread>

#include "harness.h"

namespace easel::testing {
namespace {

TEST(Tickets, InFlightReachesTheLimit) {
  for (const int most : {1, 2, 3}) {
    EngineFixture fixture({.tickets = FakeTickets::kDoneWhenWaited}, {.max_steps_in_flight = most});
    const auto request = fake_request(1, /*steps=*/10, /*num_images=*/2);
    expect_images(request, result_of(*fixture.engine->submit(request)));
    EXPECT_EQ(fixture.record->max_tickets_in_flight(), most);
  }
}

TEST(Tickets, SynchronousTicketsDoNotOverlap) {
  std::shared_ptr<FakeRecord> record;
  const auto gate = std::make_shared<Gate>();
  EngineFixture fixture(gated(gate));
  const auto job = fixture.engine->submit(fake_request(1, 10, 2));
  gate->open();
  EXPECT_FALSE(result_of(*job).error);
  EXPECT_EQ(fixture.record->max_tickets_in_flight(), 1);
}

TEST(Tickets, ConsecutiveStepsOfOneImageOverlap) {
  std::vector<int> at_step;
  std::shared_ptr<FakeRecord> record;
  const auto gate = std::make_shared<Gate>();
  EngineFixture fixture(gated(gate, {.tickets = FakeTickets::kDoneWhenWaited, .on_call = [&](const FakeCall&) {
                                       if (record) at_step.push_back(record->tickets_in_flight());
                                     }}));
  record = fixture.record;
  const auto job = fixture.engine->submit(fake_request(1, 4));
  gate->open();
  EXPECT_FALSE(result_of(*job).error);
  // begin, four steps and the decode, each enqueued while earlier work is in flight
  EXPECT_THAT(std::vector(at_step.begin() + 1, at_step.end()), ::testing::ElementsAre(0, 1, 1, 1, 1, 1));
}

TEST(Tickets, ProgressCountsCompletedStepsOnly) {
  std::shared_ptr<Job> job;
  std::vector<std::int64_t> seen;
  const auto gate = std::make_shared<Gate>();
  EngineFixture fixture(gated(gate, {.tickets = FakeTickets::kDoneWhenWaited, .on_call = [&](const FakeCall& call) {
                                       if (call.kind == FakeCallKind::kStep) seen.push_back(job->progress().steps_done);
                                     }}));
  job = fixture.engine->submit(fake_request(1, 4));
  gate->open();
  EXPECT_FALSE(result_of(*job).error);
  EXPECT_THAT(seen, ::testing::ElementsAre(0, 0, 1, 2)) << "two steps were handed out before the first was complete";
}

TEST(Tickets, AsynchronousDeviceInRealTime) {
  const auto gate = std::make_shared<Gate>();
  EngineFixture fixture(gated(gate, {.max_generations_per_step = 4,
                                     .tickets = FakeTickets::kTimed,
                                     .begin_time = std::chrono::microseconds(300),
                                     .step_time = std::chrono::microseconds(200),
                                     .finish_time = std::chrono::microseconds(500)}));
  std::vector<GenerationRequest> requests;
  std::vector<std::shared_ptr<Job>> jobs;
  for (int i = 0; i < 6; ++i) {
    requests.push_back(fake_request(100 * i, 2 + 3 * i, 1 + i % 3));
    jobs.push_back(fixture.engine->submit(requests.back()));
  }
  gate->open();
  for (std::size_t i = 0; i < jobs.size(); ++i) expect_images(requests[i], result_of(*jobs[i]));
  EXPECT_LE(fixture.record->max_tickets_in_flight(), 2);
}

TEST(Tickets, DestructorWaitsForTicketsInFlight) {
  std::shared_ptr<Job> job;
  {
    EngineFixture fixture({.tickets = FakeTickets::kTimed, .step_time = std::chrono::milliseconds(30)});
    job = fixture.engine->submit(fake_request(1, 1000));
    while (fixture.record->tickets_in_flight() < 2) std::this_thread::yield();
  }  // the fake would record that a generation was destroyed in flight
  EXPECT_EQ(result_of(*job).code(), ErrorCode::kUnavailable);
}

}  // namespace
}  // namespace easel::testing
