// Requests and their images, the engine's bounds, draining and destruction.
#include "easel/engine.h"

#include <gmock/gmock.h>

#include <ctime>
#include <future>
#include <thread>

#include "harness.h"

namespace easel::testing {
namespace {

using std::chrono::milliseconds;

template <class F>
Error error_of(F&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "no exception was thrown";
  return Error(ErrorCode::kInternal, "");
}

TEST(Engine, ReturnsImagesInOrderWithTheirSeeds) {
  EngineFixture fixture;
  auto request = fake_request(/*seed=*/7, /*steps=*/3, /*num_images=*/4);
  request.width = 32;
  request.height = 48;
  expect_images(request, result_of(*fixture.engine->submit(request)));
  EXPECT_EQ(fixture.record->calls(FakeCallKind::kStep).size(), 4u * 3u);
}

TEST(Engine, SeedsWrapAround) {
  EngineFixture fixture;
  const auto request = fake_request(/*seed=*/~std::uint64_t{0}, 1, 2);
  expect_images(request, result_of(*fixture.engine->submit(request)));
}

TEST(Engine, ResultDoesNotDependOnOtherRequests) {
  std::vector<GenerationRequest> requests;
  for (int i = 0; i < 12; ++i) {
    auto request = fake_request(100 + 10 * i, 1 + i % 5, 1 + i % 3);
    request.prompt = "prompt " + std::to_string(i % 4);
    if (i % 2) request.width = request.height = 24;
    requests.push_back(request);
  }
  EngineFixture busy({.max_generations_per_step = 4});
  std::vector<std::shared_ptr<Job>> jobs;
  for (const auto& request : requests) jobs.push_back(busy.engine->submit(request));
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    const auto batched = result_of(*jobs[i]);
    expect_images(requests[i], batched);
    EngineFixture idle;
    const auto alone = result_of(*idle.engine->submit(requests[i]));
    for (std::size_t k = 0; k < alone.images.size(); ++k) {
      EXPECT_EQ(alone.images[k].image.pixels, batched.images[k].image.pixels);
    }
  }
}

TEST(Engine, ListsItsModels) {
  auto record = std::make_shared<FakeRecord>();
  std::vector<ServedModel> models;
  for (const auto* id : {"one", "two"}) models.push_back(served_fake({.description = fake_description(id)}, record));
  const auto engine = make_engine(std::move(models), {});
  ASSERT_EQ(engine->models().size(), 2u);
  EXPECT_EQ(engine->models()[0].id, "one");
  EXPECT_EQ(engine->models()[1].id, "two");
}

TEST(Engine, RequestsAreCheckedBeforeTheyAreQueued) {
  auto record = std::make_shared<FakeRecord>();
  std::vector<ServedModel> models;
  models.push_back(served_fake({.description = fake_description("fake")}, record));
  models[0].check = [](const GenerationRequest& request) {
    if (request.seed == 13) throw Error(ErrorCode::kInvalidArgument, "not that seed", "seed");
  };
  const auto engine = make_engine(std::move(models), {});
  const auto refused = error_of([&] { engine->submit(fake_request(13)); });
  EXPECT_EQ(refused.code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(refused.param(), "seed");
  expect_images(fake_request(14), result_of(*engine->submit(fake_request(14))));
  for (const auto& call : record->calls(FakeCallKind::kBegin)) EXPECT_EQ(call.seeds.at(0), 14u);
}

TEST(Engine, RejectsUnknownModelsAndBadCounts) {
  EngineFixture fixture;
  const auto unknown = error_of([&] { fixture.engine->submit(fake_request_of("nobody", 1)); });
  EXPECT_EQ(unknown.code(), ErrorCode::kNotFound);
  EXPECT_THAT(unknown.what(), ::testing::HasSubstr("nobody"));
  EXPECT_EQ(error_of([&] { fixture.engine->model_state("nobody"); }).code(), ErrorCode::kNotFound);
  for (const std::int64_t n : {0, -1}) {
    EXPECT_EQ(error_of([&] { fixture.engine->submit(fake_request(1, 4, n)); }).code(), ErrorCode::kInvalidArgument);
  }
}

TEST(Engine, RejectsInvalidOptions) {
  const auto start = [](int models, EngineOptions options) {
    std::vector<ServedModel> served;
    for (int i = 0; i < models; ++i) served.push_back(served_fake());
    return error_of([&] { make_engine(std::move(served), options); }).code();
  };
  EXPECT_EQ(start(0, {}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(start(2, {}), ErrorCode::kInvalidArgument) << "the same id twice";
  EXPECT_EQ(start(1, {.devices = {}}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(start(1, {.devices = {"a", "a"}}), ErrorCode::kInvalidArgument) << "the same device twice";
  EXPECT_EQ(start(1, {.max_waiting = 0}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(start(1, {.max_active_generations = 0}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(start(1, {.max_steps_in_flight = 0}), ErrorCode::kInvalidArgument);
}

TEST(Engine, FullQueueRejectsRequests) {
  const auto gate = std::make_shared<Gate>();
  EngineFixture fixture(gated(gate), {.max_waiting = 3});
  std::vector<std::shared_ptr<Job>> jobs;
  for (int i = 0; i < 3; ++i) jobs.push_back(fixture.engine->submit(fake_request(10 * i)));
  EXPECT_EQ(error_of([&] { fixture.engine->submit(fake_request(99)); }).code(), ErrorCode::kResourceExhausted);
  gate->open();
  for (const auto& job : jobs) EXPECT_FALSE(result_of(*job).error);
  EXPECT_FALSE(result_of(*fixture.engine->submit(fake_request(99))).error)
      << "a request that has ended still holds its place";
}

TEST(Engine, ActiveImagesStayWithinTheLimit) {
  for (const std::int64_t most : {1, 3}) {
    const auto gate = std::make_shared<Gate>();
    EngineFixture fixture(gated(gate, {.max_generations_per_step = 8}),
                          {.max_active_generations = most, .max_parked_generations = 0});
    std::vector<GenerationRequest> requests;
    for (int i = 0; i < 5; ++i) requests.push_back(fake_request(100 * i, 2 + i, /*num_images=*/i == 1 ? 7 : 1));
    std::vector<std::shared_ptr<Job>> jobs;
    for (const auto& request : requests) jobs.push_back(fixture.engine->submit(request));
    gate->open();
    for (std::size_t i = 0; i < jobs.size(); ++i) expect_images(requests[i], result_of(*jobs[i]));
    EXPECT_EQ(fixture.record->max_live_generations(), most);
  }
}

// Seven images and three places: a later request gets a place before the fourth image.
TEST(Engine, LargeRequestLeavesCapacityForOthers) {
  const auto gate = std::make_shared<Gate>();
  EngineFixture fixture(gated(gate), {.max_active_generations = 3, .max_parked_generations = 0});
  const auto large = fixture.engine->submit(fake_request(100, 10, /*num_images=*/7));
  const auto small = fixture.engine->submit(fake_request(200, 10));
  gate->open();
  EXPECT_FALSE(result_of(*small).error);
  EXPECT_FALSE(result_of(*large).error);
  std::vector<std::uint64_t> begun;
  for (const auto& call : fixture.record->calls(FakeCallKind::kBegin)) {
    begun.insert(begun.end(), call.seeds.begin(), call.seeds.end());
  }
  const auto place = std::find(begun.begin(), begun.end(), 200) - begun.begin();
  EXPECT_LE(place, 3);
}

// Twenty images and eight places: the last two places are kept for the first images of later requests.
TEST(Engine, CapacityIsReservedForNewRequests) {
  const auto gate = std::make_shared<Gate>();
  std::vector<std::shared_ptr<Job>> late;
  Engine* engine = nullptr;
  EngineFixture fixture(gated(gate, {.on_call =
                                         [&](const FakeCall& call) {
                                           if (call.kind != FakeCallKind::kStep || call.steps[0] != 5 || !late.empty())
                                             return;
                                           for (int i = 0; i < 2; ++i)
                                             late.push_back(engine->submit(fake_request(1000 + 10 * i, 2)));
                                         }}),
                        {.max_active_generations = 8, .max_parked_generations = 0});
  engine = fixture.engine.get();
  const auto large = fixture.engine->submit(fake_request(100, 50, /*num_images=*/20));
  gate->open();
  EXPECT_FALSE(result_of(*large).error);
  ASSERT_EQ(late.size(), 2u);
  for (const auto& job : late) EXPECT_FALSE(result_of(*job).error);
  bool one_was_done = false;
  for (const auto& call : fixture.record->calls()) {
    one_was_done |= call.kind == FakeCallKind::kFinish && call.seeds.front() < 1000;
    EXPECT_FALSE(one_was_done && call.kind == FakeCallKind::kBegin && call.seeds.front() >= 1000)
        << "it had to wait until an image of the large request was done";
  }
}

TEST(Engine, ProgressIsThatOfTheSlowestImage) {
  const auto gate = std::make_shared<Gate>();
  std::shared_ptr<Job> job;
  std::vector<StepProgress> seen;
  EngineFixture fixture(gated(gate, {.on_call = [&](const FakeCall& call) {
                                if (call.kind == FakeCallKind::kStep) seen.push_back(job->progress());
                              }}));
  job = fixture.engine->submit(fake_request(1, /*steps=*/3, /*num_images=*/2));
  EXPECT_EQ(job->progress().steps_total, 0);
  gate->open();
  EXPECT_FALSE(result_of(*job).error);
  ASSERT_EQ(seen.size(), 6u);
  for (std::size_t i = 0; i < seen.size(); ++i) {
    EXPECT_EQ(seen[i].steps_done, static_cast<std::int64_t>(i) / 2) << i;
    EXPECT_EQ(seen[i].steps_total, 3);
  }
  EXPECT_EQ(job->progress().steps_done, 3);
}

TEST(Engine, DrainFinishesAcceptedAndRejectsNewRequests) {
  EngineFixture fixture({.step_time = milliseconds(1)});
  std::vector<std::shared_ptr<Job>> jobs;
  for (int i = 0; i < 5; ++i) jobs.push_back(fixture.engine->submit(fake_request(10 * i)));
  auto first = std::async(std::launch::async, [&] { fixture.engine->drain(); });
  fixture.engine->drain();
  first.get();
  for (const auto& job : jobs) {
    EXPECT_TRUE(job->wait_for(milliseconds(0)));
    EXPECT_FALSE(result_of(*job).error);
  }
  EXPECT_EQ(fixture.record->live_generations(), 0);
  EXPECT_EQ(error_of([&] { fixture.engine->submit(fake_request(1)); }).code(), ErrorCode::kUnavailable);
  fixture.engine->drain();
}

TEST(Engine, DestructorFailsPendingRequestsAtOnce) {
  std::vector<std::shared_ptr<Job>> jobs;
  {
    EngineFixture fixture({.step_time = std::chrono::hours(1)}, {.max_active_generations = 2});
    for (int i = 0; i < 5; ++i) jobs.push_back(fixture.engine->submit(fake_request(10 * i)));
    while (fixture.record->calls(FakeCallKind::kStep).empty()) std::this_thread::yield();
  }
  for (const auto& job : jobs) {
    EXPECT_TRUE(job->wait_for(milliseconds(0)));
    EXPECT_EQ(result_of(*job).code(), ErrorCode::kUnavailable);
    job->cancel();
  }
}

TEST(Engine, DestructorUnblocksDrain) {
  auto fixture = std::make_unique<EngineFixture>(FakeOptions{.step_time = std::chrono::hours(1)});
  const auto job = fixture->engine->submit(fake_request(1));
  auto draining = std::async(std::launch::async, [engine = fixture->engine.get()] { engine->drain(); });
  // Once drain has begun, submit is rejected; only then may the engine be destroyed.
  while (true) {
    try {
      fixture->engine->submit(fake_request(1))->cancel();
    } catch (const Error&) {
      break;
    }
  }
  std::this_thread::sleep_for(milliseconds(20));
  fixture.reset();
  ASSERT_EQ(draining.wait_for(kTestTimeout), std::future_status::ready);
  EXPECT_EQ(result_of(*job).code(), ErrorCode::kUnavailable);
}

TEST(Engine, IdleEngineUsesNoProcessorTime) {
  EngineFixture fixture;
  EXPECT_FALSE(result_of(*fixture.engine->submit(fake_request(1))).error);
  fixture.engine->model_state("fake");
  const auto before = std::clock();
  std::this_thread::sleep_for(milliseconds(400));
  const auto seconds = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
  EXPECT_LT(seconds, 0.1) << "processor time of an idle engine";
}

}  // namespace
}  // namespace easel::testing
