// Whatever a pipeline does, the guilty request alone is told, and drawing goes on.
#include <gmock/gmock.h>

#include <thread>

#include "harness.h"

namespace easel::testing {
namespace {

using How = FakeFault::How;
using ::testing::HasSubstr;

constexpr std::uint64_t kGuilty = 1, kInnocent = 500;

// A guilty and an innocent request drawn together, then another one.
void expect_only_the_guilty_fails(FakeOptions options, ErrorCode code) {
  for (const int most_at_once : {1, 4}) {
    SCOPED_TRACE(most_at_once);
    options.max_generations_per_step = most_at_once;
    const auto door = std::make_shared<Door>();
    Studio studio(behind(door, options));
    const auto guilty = studio.engine->submit(ask(kGuilty, 5, 2));
    const auto request = ask(kInnocent, 5, 2);
    const auto innocent = studio.engine->submit(request);
    door->open();
    EXPECT_EQ(answer_of(*guilty).code(), code);
    expect_pictures(request, answer_of(*innocent));
    EXPECT_EQ(studio.engine->models().size(), 1u);
    expect_pictures(request, answer_of(*studio.engine->submit(request)));
  }
}

TEST(Faults, AnExceptionFailsTheGuiltyRequestAlone) {
  for (const auto where : {FakeCallKind::kBegin, FakeCallKind::kStep, FakeCallKind::kFinish}) {
    SCOPED_TRACE(static_cast<int>(where));
    // The second picture of the request: one bad picture fails it whole.
    const auto fault = [&](How how, ErrorCode code = ErrorCode::kInternal) {
      return FakeOptions{.faults = {{.where = where, .seed = kGuilty + 1, .step = 2, .how = how, .code = code}}};
    };
    expect_only_the_guilty_fails(fault(How::kError, ErrorCode::kUnsupported), ErrorCode::kUnsupported);
    expect_only_the_guilty_fails(fault(How::kError, ErrorCode::kCancelled), ErrorCode::kCancelled);
    expect_only_the_guilty_fails(fault(How::kStdException), ErrorCode::kInternal);
    expect_only_the_guilty_fails(fault(How::kNotException), ErrorCode::kInternal);
  }
}

TEST(Faults, RefusedByTheModel) {
  Studio studio;
  auto request = ask(kGuilty);
  request.scheduler = "no such thing";
  const auto answer = answer_of(*studio.engine->submit(request));
  EXPECT_EQ(answer.code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(answer.error->param(), "scheduler");
}

TEST(Faults, NotFiniteFailsItsOwnRequestAndNamesTheSeed) {
  for (const auto tickets : {FakeTickets::kDoneAtOnce, FakeTickets::kDoneWhenWaited}) {
    const std::int64_t last_step = 4;
    for (const std::int64_t step : {std::int64_t{0}, std::int64_t{2}, last_step}) {
      const auto door = std::make_shared<Door>();
      Studio studio(behind(door, {.max_generations_per_step = 4,
                                  .tickets = tickets,
                                  .faults = {{.seed = kGuilty, .step = step, .how = How::kNotFinite}}}));
      const auto guilty = studio.engine->submit(ask(kGuilty, 5));
      const auto request = ask(kInnocent, 5, 2);
      const auto innocent = studio.engine->submit(request);
      door->open();
      const auto answer = answer_of(*guilty);
      EXPECT_EQ(answer.code(), ErrorCode::kCorruptData) << "an error that clients are told";
      EXPECT_THAT(answer.message(), HasSubstr("infinities or NaN"));
      EXPECT_THAT(answer.message(), HasSubstr("seed 1"));
      expect_pictures(request, answer_of(*innocent));
      EXPECT_LE(steps_of(*studio.record, kGuilty), step + 2) << "at most the one that was in flight already";
    }
  }
}

TEST(Faults, OutOfMemoryMeansSmallerSteps) {
  const auto door = std::make_shared<Door>();
  Studio studio(behind(door, {.max_generations_per_step = 8, .step_memory = 3}));
  const auto request = ask(kInnocent, 10, 8);
  const auto job = studio.engine->submit(request);
  door->open();
  expect_pictures(request, answer_of(*job));
  std::vector<std::size_t> sizes;
  for (const auto& call : studio.record->calls(FakeCallKind::kStep)) sizes.push_back(call.seeds.size());
  EXPECT_THAT(std::vector(sizes.begin(), sizes.begin() + 3), ::testing::ElementsAre(8, 4, 2));
  EXPECT_EQ(std::count_if(sizes.begin(), sizes.end(), [](auto size) { return size > 3; }), 2) << "it forgot";
  EXPECT_EQ(sizes.size(), 2u + 10 * 8 / 2);
}

TEST(Faults, OutOfMemoryForOneFailsThatOne) {
  const FakeFault no_memory{.seed = kGuilty, .step = 2, .code = ErrorCode::kResourceExhausted};
  expect_only_the_guilty_fails({.faults = {no_memory}}, ErrorCode::kResourceExhausted);
  Studio studio({.step_memory = 0});
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(answer_of(*studio.engine->submit(ask(i))).code(), ErrorCode::kResourceExhausted);
  }
}

// Once a stage, if there is a model that nobody draws with.
TEST(Faults, OutOfMemoryForOneSendsAnIdleModelAway) {
  for (const auto where : {FakeCallKind::kBegin, FakeCallKind::kStep, FakeCallKind::kFinish}) {
    const auto record = std::make_shared<FakeRecord>();
    auto failures = std::make_shared<int>(0);
    FakeOptions needy{.on_call = [failures, where](const FakeCall& call) {
      if (call.kind == where && call.seeds.front() == kGuilty && ++*failures == 1) throw std::bad_alloc();
    }};
    std::vector<ServedModel> models;
    models.push_back(served_fake(needy, record));
    models.push_back(served_fake({.description = fake_description("idle")}, record));
    const auto engine = make_engine(std::move(models), {});
    EXPECT_FALSE(answer_of(*engine->submit(ask_of("idle", 1))).error);
    const auto request = ask(kGuilty);
    expect_pictures(request, answer_of(*engine->submit(request)));
    EXPECT_EQ(engine->model_state("idle"), ModelState::kUnloaded);
    EXPECT_FALSE(answer_of(*engine->submit(ask_of("idle", 1))).error) << "it comes back";
    *failures = 0;
    engine->unload("idle");
    while (engine->model_state("idle") == ModelState::kReady) std::this_thread::yield();
    EXPECT_EQ(answer_of(*engine->submit(request)).code(), ErrorCode::kResourceExhausted) << "nobody is left to go";
    engine->drain();
    EXPECT_TRUE(record->violations().empty());
  }
}

TEST(Faults, OutOfMemoryInADecodeFailsThatOne) {
  Studio studio({.finish_memory = 0});
  EXPECT_EQ(answer_of(*studio.engine->submit(ask(1))).code(), ErrorCode::kResourceExhausted);
}

TEST(Faults, BadAllocIsOutOfMemory) {
  Studio studio({.on_call = [](const FakeCall& call) {
    if (call.kind == FakeCallKind::kStep) throw std::bad_alloc();
  }});
  EXPECT_EQ(answer_of(*studio.engine->submit(ask(1))).code(), ErrorCode::kResourceExhausted);
}

// A fault that shows in company only is nobody's: everybody is drawn, one by one.
TEST(Faults, AStepThatFailsInCompanyIsRetriedOneByOne) {
  const auto door = std::make_shared<Door>();
  auto failures = std::make_shared<int>(0);
  Studio studio(behind(door, {.max_generations_per_step = 4, .on_call = [failures](const FakeCall& call) {
                                if (call.kind != FakeCallKind::kStep || call.seeds.size() < 2) return;
                                if (++*failures == 1) throw std::runtime_error("once");
                              }}));
  const auto request = ask(kInnocent, 5, 4);
  const auto job = studio.engine->submit(request);
  door->open();
  expect_pictures(request, answer_of(*job));
  std::vector<std::size_t> sizes;
  for (const auto& call : studio.record->calls(FakeCallKind::kStep)) sizes.push_back(call.seeds.size());
  EXPECT_THAT(sizes, ::testing::ElementsAre(4, 1, 1, 1, 1, 4, 4, 4, 4)) << "alone once, then together again";
}

TEST(Faults, ADeviceErrorFailsThePicturesOfItsTicketAndNoOthers) {
  for (const auto where : {FakeCallKind::kBegin, FakeCallKind::kStep, FakeCallKind::kFinish}) {
    for (const auto tickets : {FakeTickets::kDoneAtOnce, FakeTickets::kDoneWhenWaited}) {
      const auto door = std::make_shared<Door>();
      Studio studio(behind(door, {.tickets = tickets,
                                  .faults = {{.where = where, .seed = kGuilty, .step = 2, .how = How::kDeviceError}}}));
      const auto guilty = studio.engine->submit(ask(kGuilty, 5, 2));
      const auto request = ask(kInnocent, 5, 2);
      const auto innocent = studio.engine->submit(request);
      door->open();
      EXPECT_EQ(answer_of(*guilty).code(), ErrorCode::kInternal);
      expect_pictures(request, answer_of(*innocent));
    }
  }
}

TEST(Faults, ADeviceErrorOfASharedStepFailsAllOfItsPictures) {
  const auto door = std::make_shared<Door>();
  Studio studio(behind(door, {.max_generations_per_step = 4,
                              .tickets = FakeTickets::kDoneWhenWaited,
                              .faults = {{.seed = kGuilty, .step = 2, .how = How::kDeviceError}}}));
  const auto guilty = studio.engine->submit(ask(kGuilty, 5));
  const auto companion = studio.engine->submit(ask(kInnocent, 5));
  door->open();
  EXPECT_EQ(answer_of(*guilty).code(), ErrorCode::kInternal);
  EXPECT_EQ(answer_of(*companion).code(), ErrorCode::kInternal);
  EXPECT_FALSE(answer_of(*studio.engine->submit(ask(kInnocent, 5))).error) << "the engine goes on";
}

TEST(Faults, WrongCountsAreThePipelinesFault) {
  const FakeOptions cases[] = {
      {.begin_gives_too_few = true}, {.finite_gives_too_few = true}, {.finish_gives_too_few = true}};
  for (const auto& options : cases) {
    Studio studio(options);
    for (const std::int64_t n : {1, 3}) {
      const auto answer = answer_of(*studio.engine->submit(ask(1, 4, n)));
      EXPECT_EQ(answer.code(), ErrorCode::kInternal);
      EXPECT_THAT(answer.message(), HasSubstr("expected"));
    }
  }
}

// A fake whose single answers can be spoilt.
class SpoiltPipeline final : public Pipeline {
 public:
  enum class Spoilt { kNoTicket, kEmptyGeneration, kKeyThrows, kDoneThrows };
  SpoiltPipeline(Spoilt what, std::shared_ptr<FakeRecord> record) : what_(what), fake_({}, std::move(record)) {}

  const ModelDescription& description() const override { return fake_.description(); }
  std::unique_ptr<BeginTicket> begin(const GenerationRequest& request, const StopPredicate& stop) override {
    auto ticket = fake_.begin(request, stop);
    if (what_ == Spoilt::kDoneThrows || what_ == Spoilt::kEmptyGeneration) {
      return std::make_unique<Begun>(what_, std::move(ticket));
    }
    return ticket;
  }
  std::string batch_key(const Generation& generation) const override {
    if (what_ == Spoilt::kKeyThrows && generation.progress().steps_done == 2) throw std::runtime_error("no key");
    return fake_.batch_key(generation);
  }
  std::unique_ptr<StepTicket> step(std::span<Generation* const> generations, const StopPredicate& stop) override {
    auto ticket = fake_.step(generations, stop);
    return what_ == Spoilt::kNoTicket ? nullptr : std::move(ticket);
  }
  std::optional<Image> preview(const Generation& generation) override { return fake_.preview(generation); }
  std::unique_ptr<FinishTicket> finish(std::span<Generation* const> generations, const StopPredicate& stop) override {
    return fake_.finish(generations, stop);
  }
  int max_generations_per_step() const override { return 0; }  // nonsense: taken as 1

 private:
  struct Begun final : BeginTicket {
    Begun(Spoilt what, std::unique_ptr<BeginTicket> inner) : what(what), inner(std::move(inner)) {}
    bool done() const override {
      if (what == Spoilt::kDoneThrows) throw std::runtime_error("no idea");
      return inner->done();
    }
    void wait() override { inner->wait(); }
    std::vector<std::unique_ptr<Generation>> take() override {
      auto generations = inner->take();
      if (what == Spoilt::kEmptyGeneration) generations.back().reset();
      return generations;
    }
    Spoilt what;
    std::unique_ptr<BeginTicket> inner;
  };

  Spoilt what_;
  FakePipeline fake_;
};

TEST(Faults, SpoiltAnswersAreThePipelinesFault) {
  using Spoilt = SpoiltPipeline::Spoilt;
  for (const auto what : {Spoilt::kNoTicket, Spoilt::kEmptyGeneration, Spoilt::kKeyThrows, Spoilt::kDoneThrows}) {
    const auto record = std::make_shared<FakeRecord>();
    std::vector<ServedModel> models;
    models.push_back({fake_description(), [&](const std::string&, const LoadProgress&) {
                        return std::make_unique<SpoiltPipeline>(what, record);
                      }});
    const auto engine = make_engine(std::move(models), {});
    for (int i = 0; i < 2; ++i) {
      const auto answer = answer_of(*engine->submit(ask(kInnocent, 4, 2)));
      EXPECT_EQ(answer.error.has_value(), what != Spoilt::kDoneThrows) << "wait() is what counts";
      if (answer.error) {
        EXPECT_EQ(answer.code(), ErrorCode::kInternal);
      }
    }
    engine->drain();
    EXPECT_EQ(record->live_generations(), 0);
  }
}

}  // namespace
}  // namespace easel::testing
