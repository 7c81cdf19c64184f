// The fake judges the engine, so it is judged itself: every breach it can see is shown to be seen.
#include "support/fake_pipeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

namespace easel::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

GenerationRequest ask(std::uint64_t seed, std::int64_t n = 1, std::int64_t steps = 2) {
  GenerationRequest request;
  request.prompt = "a fox";
  request.seed = seed;
  request.num_images = n;
  request.num_inference_steps = steps;
  return request;
}

struct Stage {
  explicit Stage(FakeOptions options = {}) : pipeline(std::make_unique<FakePipeline>(options, record)) {}

  std::vector<std::unique_ptr<Generation>> begin(const GenerationRequest& request) const {
    auto ticket = pipeline->begin(request, {});
    ticket->wait();
    return ticket->take();
  }
  std::unique_ptr<StepTicket> step(std::vector<Generation*> generations) const {
    return pipeline->step(generations, {});
  }
  std::unique_ptr<FinishTicket> finish(std::vector<Generation*> generations) const {
    return pipeline->finish(generations, {});
  }

  std::shared_ptr<FakeRecord> record = std::make_shared<FakeRecord>();
  std::unique_ptr<FakePipeline> pipeline;
};

TEST(FakePipeline, DrawsByTheBook) {
  Stage stage;
  {
    auto generations = stage.begin(ask(5, 2));
    ASSERT_EQ(generations.size(), 2u);
    EXPECT_EQ(stage.record->live_generations(), 2);
    EXPECT_FALSE(stage.pipeline->preview(*generations[1]));
    for (const auto& generation : generations) {
      while (!generation->finished_stepping()) stage.step({generation.get()})->wait();
    }
    EXPECT_TRUE(stage.pipeline->preview(*generations[1]));
    auto ticket = stage.finish({generations[1].get()});
    ticket->wait();
    const auto images = ticket->take();
    ASSERT_EQ(images.size(), 1u);
    EXPECT_EQ(images[0].seed, 6u);
    EXPECT_EQ(images[0].image.pixels.size(), 64u * 64 * 3);
    const auto color = fake_color("a fox", 6);
    EXPECT_TRUE(std::equal(color.begin(), color.end(), images[0].image.pixels.end() - 3));
  }
  EXPECT_EQ(stage.record->live_generations(), 0);
  EXPECT_THAT(stage.record->violations(), IsEmpty());
}

TEST(FakePipeline, ColorsTellPromptsAndSeedsApart) {
  EXPECT_EQ(fake_color("a", 1), fake_color("a", 1));
  EXPECT_NE(fake_color("a", 1), fake_color("a", 2));
  EXPECT_NE(fake_color("a", 1), fake_color("b", 1));
}

TEST(FakePipeline, AStepThatThrowsHasMovedNothing) {
  Stage stage({.max_generations_per_step = 2, .faults = {{.seed = 2, .step = 0}}});
  const auto generations = stage.begin(ask(1, 2));
  EXPECT_THROW(stage.step({generations[0].get(), generations[1].get()}), Error);
  EXPECT_EQ(generations[0]->progress().steps_done, 0);
  stage.step({generations[0].get()})->wait();
  EXPECT_EQ(generations[0]->progress().steps_done, 1);
}

TEST(FakePipeline, GivesUpWhenTold) {
  Stage stage({.step_time = std::chrono::hours(1)});
  const auto generations = stage.begin(ask(1));
  std::vector<Generation*> one{generations[0].get()};
  int polls = 0;
  try {
    stage.pipeline->step(one, [&] { return ++polls == 3; });
    ADD_FAILURE() << "it went on";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCancelled);
  }
  EXPECT_EQ(generations[0]->progress().steps_done, 0);
}

TEST(FakePipeline, ADeviceThatRunsBehind) {
  Stage stage({.tickets = FakeTickets::kTimed, .step_time = std::chrono::milliseconds(20)});
  const auto generations = stage.begin(ask(1));
  const auto first = stage.step({generations[0].get()}), second = stage.step({generations[0].get()});
  EXPECT_FALSE(second->done());
  EXPECT_EQ(stage.record->tickets_in_flight(), 2);
  second->wait();
  EXPECT_TRUE(first->done()) << "the device keeps the order";
  first->wait();
  EXPECT_EQ(stage.record->tickets_in_flight(), 0);
}

TEST(FakePipeline, SeesStepsOutOfOrder) {
  Stage stage;
  const auto generations = stage.begin(ask(1, 1, /*steps=*/1));
  stage.finish({generations[0].get()})->wait();
  stage.step({generations[0].get()})->wait();
  stage.step({generations[0].get()})->wait();
  stage.finish({generations[0].get()})->wait();
  EXPECT_THAT(stage.record->violations(), ElementsAre(HasSubstr("too early"), HasSubstr("past its end"),
                                                      HasSubstr("too early"), HasSubstr("decoded twice")));
}

TEST(FakePipeline, SeesBadBatches) {
  Stage stage({.max_generations_per_step = 2});
  auto wide = ask(10);
  wide.width = wide.height = 128;
  const auto a = stage.begin(ask(1, 3, 9)), b = stage.begin(wide);
  stage.step({a[0].get(), b[0].get()})->wait();
  stage.step({a[0].get(), a[0].get()})->wait();
  stage.step({a[0].get(), a[1].get(), a[2].get()})->wait();
  stage.step({})->wait();
  Stage other;
  EXPECT_THROW(other.step({a[0].get()}), Error);
  EXPECT_THAT(stage.record->violations(), ElementsAre(HasSubstr("unequal"), HasSubstr("twice"), HasSubstr("too many"),
                                                      HasSubstr("without generations")));
  EXPECT_THAT(other.record->violations(), ElementsAre(HasSubstr("did not make it")));
}

TEST(FakePipeline, SeesWhatIsFreedOrReadTooEarly) {
  Stage stage({.tickets = FakeTickets::kDoneWhenWaited});
  auto generations = stage.begin(ask(1));
  const auto ticket = stage.step({generations[0].get()});
  ticket->finite();
  stage.pipeline.reset();
  generations.clear();
  EXPECT_THAT(
      stage.record->violations(),
      ElementsAre(HasSubstr("nobody waited for"), HasSubstr("before its generations"), HasSubstr("while in flight")));
}

TEST(FakePipeline, SeesTwoCallsAtOnce) {
  Stage stage;
  FakePipeline nested({.on_call = [&](const FakeCall&) { stage.begin(ask(1)); }}, stage.record);
  nested.begin(ask(2), {})->wait();
  EXPECT_THAT(stage.record->violations(), ElementsAre(HasSubstr("same time")));
}

}  // namespace
}  // namespace easel::testing
