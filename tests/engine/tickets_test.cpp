// A device that runs behind: what may overlap, how far, and what is known late.
#include <gmock/gmock.h>

#include <thread>

#include "harness.h"

namespace easel::testing {
namespace {

TEST(Tickets, AsManyInFlightAsAllowed) {
  for (const int most : {1, 2, 3}) {
    Studio studio({.tickets = FakeTickets::kDoneWhenWaited}, {.max_steps_in_flight = most});
    const auto request = ask(1, /*steps=*/10, /*num_images=*/2);
    expect_pictures(request, answer_of(*studio.engine->submit(request)));
    EXPECT_EQ(studio.record->most_tickets_in_flight(), most);
  }
}

TEST(Tickets, OnAProcessorNothingIsInFlight) {
  std::shared_ptr<FakeRecord> record;
  const auto door = std::make_shared<Door>();
  Studio studio(behind(door));
  const auto job = studio.engine->submit(ask(1, 10, 2));
  door->open();
  EXPECT_FALSE(answer_of(*job).error);
  EXPECT_EQ(studio.record->most_tickets_in_flight(), 1);
}

TEST(Tickets, ConsecutiveStepsOfOnePictureOverlap) {
  std::vector<int> at_step;
  std::shared_ptr<FakeRecord> record;
  const auto door = std::make_shared<Door>();
  Studio studio(behind(door, {.tickets = FakeTickets::kDoneWhenWaited, .on_call = [&](const FakeCall&) {
                                if (record) at_step.push_back(record->tickets_in_flight());
                              }}));
  record = studio.record;
  const auto job = studio.engine->submit(ask(1, 4));
  door->open();
  EXPECT_FALSE(answer_of(*job).error);
  // begin, four steps and the decode, each put behind what is still under way
  EXPECT_THAT(std::vector(at_step.begin() + 1, at_step.end()), ::testing::ElementsAre(0, 1, 1, 1, 1, 1));
}

TEST(Tickets, ProgressIsOfTheDevice) {
  std::shared_ptr<Job> job;
  std::vector<std::int64_t> seen;
  const auto door = std::make_shared<Door>();
  Studio studio(behind(door, {.tickets = FakeTickets::kDoneWhenWaited, .on_call = [&](const FakeCall& call) {
                                if (call.kind == FakeCallKind::kStep) seen.push_back(job->progress().steps_done);
                              }}));
  job = studio.engine->submit(ask(1, 4));
  door->open();
  EXPECT_FALSE(answer_of(*job).error);
  EXPECT_THAT(seen, ::testing::ElementsAre(0, 0, 1, 2)) << "two steps were handed out before the first was through";
}

TEST(Tickets, ADeviceInRealTime) {
  const auto door = std::make_shared<Door>();
  Studio studio(behind(door, {.max_generations_per_step = 4,
                              .tickets = FakeTickets::kTimed,
                              .begin_time = std::chrono::microseconds(300),
                              .step_time = std::chrono::microseconds(200),
                              .finish_time = std::chrono::microseconds(500)}));
  std::vector<GenerationRequest> requests;
  std::vector<std::shared_ptr<Job>> jobs;
  for (int i = 0; i < 6; ++i) {
    requests.push_back(ask(100 * i, 2 + 3 * i, 1 + i % 3));
    jobs.push_back(studio.engine->submit(requests.back()));
  }
  door->open();
  for (std::size_t i = 0; i < jobs.size(); ++i) expect_pictures(requests[i], answer_of(*jobs[i]));
  EXPECT_LE(studio.record->most_tickets_in_flight(), 2);
}

TEST(Tickets, TheEndWaitsForTheDeviceBeforeItFreesAnything) {
  std::shared_ptr<Job> job;
  {
    Studio studio({.tickets = FakeTickets::kTimed, .step_time = std::chrono::milliseconds(30)});
    job = studio.engine->submit(ask(1, 1000));
    while (studio.record->tickets_in_flight() < 2) std::this_thread::yield();
  }  // the fake would say that a generation was destroyed in flight
  EXPECT_EQ(answer_of(*job).code(), ErrorCode::kUnavailable);
}

}  // namespace
}  // namespace easel::testing
