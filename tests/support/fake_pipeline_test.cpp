// Tests rely on the fake to find violations of the contract, so every violation that it can find is provoked here.
#include "support/fake_pipeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace easel::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

GenerationRequest fake_request(std::uint64_t seed, std::int64_t n = 1, std::int64_t steps = 2) {
  GenerationRequest request;
  request.prompt = "a fox";
  request.seed = seed;
  request.num_images = n;
  request.num_inference_steps = steps;
  return request;
}

struct PipelineFixture {
  explicit PipelineFixture(FakeOptions options = {}) : pipeline(std::make_unique<FakePipeline>(options, record)) {}

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

TEST(FakePipeline, FollowsTheContract) {
  PipelineFixture fixture;
  {
    auto generations = fixture.begin(fake_request(5, 2));
    ASSERT_EQ(generations.size(), 2u);
    EXPECT_EQ(fixture.record->live_generations(), 2);
    EXPECT_FALSE(fixture.pipeline->preview(*generations[1]));
    for (const auto& generation : generations) {
      while (!generation->finished_stepping()) fixture.step({generation.get()})->wait();
    }
    EXPECT_TRUE(fixture.pipeline->preview(*generations[1]));
    auto ticket = fixture.finish({generations[1].get()});
    ticket->wait();
    const auto images = ticket->take();
    ASSERT_EQ(images.size(), 1u);
    EXPECT_EQ(images[0].seed, 6u);
    EXPECT_EQ(images[0].image.pixels.size(), 64u * 64 * 3);
    const auto color = fake_color("a fox", 6);
    EXPECT_TRUE(std::equal(color.begin(), color.end(), images[0].image.pixels.end() - 3));
  }
  EXPECT_EQ(fixture.record->live_generations(), 0);
  EXPECT_THAT(fixture.record->violations(), IsEmpty());
}

TEST(FakePipeline, ColorDependsOnPromptAndSeed) {
  EXPECT_EQ(fake_color("a", 1), fake_color("a", 1));
  EXPECT_NE(fake_color("a", 1), fake_color("a", 2));
  EXPECT_NE(fake_color("a", 1), fake_color("b", 1));
}

TEST(FakePipeline, ThrowingStepAdvancesNothing) {
  PipelineFixture fixture({.max_generations_per_step = 2, .faults = {{.seed = 2, .step = 0}}});
  const auto generations = fixture.begin(fake_request(1, 2));
  EXPECT_THROW(fixture.step({generations[0].get(), generations[1].get()}), Error);
  EXPECT_EQ(generations[0]->progress().steps_done, 0);
  fixture.step({generations[0].get()})->wait();
  EXPECT_EQ(generations[0]->progress().steps_done, 1);
}

TEST(FakePipeline, StopsWhenThePredicateSaysSo) {
  PipelineFixture fixture({.step_time = std::chrono::hours(1)});
  const auto generations = fixture.begin(fake_request(1));
  std::vector<Generation*> one{generations[0].get()};
  int polls = 0;
  try {
    fixture.pipeline->step(one, [&] { return ++polls == 3; });
    ADD_FAILURE() << "the call did not stop";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCancelled);
  }
  EXPECT_EQ(generations[0]->progress().steps_done, 0);
}

TEST(FakePipeline, TicketsCompleteInOrder) {
  PipelineFixture fixture({.tickets = FakeTickets::kTimed, .step_time = std::chrono::milliseconds(20)});
  const auto generations = fixture.begin(fake_request(1));
  const auto first = fixture.step({generations[0].get()}), second = fixture.step({generations[0].get()});
  EXPECT_FALSE(second->done());
  EXPECT_EQ(fixture.record->tickets_in_flight(), 2);
  second->wait();
  EXPECT_TRUE(first->done()) << "the device keeps the order";
  first->wait();
  EXPECT_EQ(fixture.record->tickets_in_flight(), 0);
}

TEST(FakePipeline, DetectsStepsOutOfOrder) {
  PipelineFixture fixture;
  const auto generations = fixture.begin(fake_request(1, 1, /*steps=*/1));
  fixture.finish({generations[0].get()})->wait();
  fixture.step({generations[0].get()})->wait();
  fixture.step({generations[0].get()})->wait();
  fixture.finish({generations[0].get()})->wait();
  EXPECT_THAT(fixture.record->violations(), ElementsAre(HasSubstr("too early"), HasSubstr("past its end"),
                                                        HasSubstr("too early"), HasSubstr("decoded twice")));
}

TEST(FakePipeline, DetectsInvalidBatches) {
  PipelineFixture fixture({.max_generations_per_step = 2});
  auto wide = fake_request(10);
  wide.width = wide.height = 128;
  const auto a = fixture.begin(fake_request(1, 3, 9)), b = fixture.begin(wide);
  fixture.step({a[0].get(), b[0].get()})->wait();
  fixture.step({a[0].get(), a[0].get()})->wait();
  fixture.step({a[0].get(), a[1].get(), a[2].get()})->wait();
  fixture.step({})->wait();
  PipelineFixture other;
  EXPECT_THROW(other.step({a[0].get()}), Error);
  EXPECT_THAT(fixture.record->violations(), ElementsAre(HasSubstr("unequal"), HasSubstr("twice"), HasSubstr("too many"),
                                                        HasSubstr("without generations")));
  EXPECT_THAT(other.record->violations(), ElementsAre(HasSubstr("did not make it")));
}

TEST(FakePipeline, DetectsEarlyDestructionAndReads) {
  PipelineFixture fixture({.tickets = FakeTickets::kDoneWhenWaited});
  auto generations = fixture.begin(fake_request(1));
  const auto ticket = fixture.step({generations[0].get()});
  ticket->finite();
  fixture.pipeline.reset();
  generations.clear();
  EXPECT_THAT(fixture.record->violations(), ElementsAre(HasSubstr("before wait()"), HasSubstr("before its generations"),
                                                        HasSubstr("while in flight")));
}

TEST(FakePipeline, DetectsConcurrentCalls) {
  PipelineFixture fixture;
  FakePipeline nested({.on_call = [&](const FakeCall&) { fixture.begin(fake_request(1)); }}, fixture.record);
  nested.begin(fake_request(2), {})->wait();
  EXPECT_THAT(fixture.record->violations(), ElementsAre(HasSubstr("same time")));
}

}  // namespace
}  // namespace easel::testing
