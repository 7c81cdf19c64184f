// Whatever a pipeline does wrong, only the faulty request fails, and the engine goes on.
#include <gmock/gmock.h>

#include <thread>

#include "harness.h"

namespace easel::testing {
namespace {

using How = FakeFault::How;
using ::testing::HasSubstr;

constexpr std::uint64_t kGuilty = 1, kInnocent = 500;

// Runs a faulty and an innocent request together, then another one.
void expect_only_the_guilty_fails(FakeOptions options, ErrorCode code) {
  for (const int max_batch : {1, 4}) {
    SCOPED_TRACE(max_batch);
    options.max_generations_per_step = max_batch;
    const auto gate = std::make_shared<Gate>();
    EngineFixture fixture(gated(gate, options));
    const auto guilty = fixture.engine->submit(fake_request(kGuilty, 5, 2));
    const auto request = fake_request(kInnocent, 5, 2);
    const auto innocent = fixture.engine->submit(request);
    gate->open();
    EXPECT_EQ(result_of(*guilty).code(), code);
    expect_images(request, result_of(*innocent));
    EXPECT_EQ(fixture.engine->models().size(), 1u);
    expect_images(request, result_of(*fixture.engine->submit(request)));
  }
}

TEST(Faults, ExceptionFailsOnlyTheFaultyRequest) {
  for (const auto where : {FakeCallKind::kBegin, FakeCallKind::kStep, FakeCallKind::kFinish}) {
    SCOPED_TRACE(static_cast<int>(where));
    // The fault is in the request's second image: one bad image fails the whole request.
    const auto fault = [&](How how, ErrorCode code = ErrorCode::kInternal) {
      return FakeOptions{.faults = {{.where = where, .seed = kGuilty + 1, .step = 2, .how = how, .code = code}}};
    };
    expect_only_the_guilty_fails(fault(How::kError, ErrorCode::kUnsupported), ErrorCode::kUnsupported);
    expect_only_the_guilty_fails(fault(How::kError, ErrorCode::kCancelled), ErrorCode::kCancelled);
    expect_only_the_guilty_fails(fault(How::kStdException), ErrorCode::kInternal);
    expect_only_the_guilty_fails(fault(How::kNotException), ErrorCode::kInternal);
  }
}

TEST(Faults, InvalidArgumentNamesTheField) {
  EngineFixture fixture;
  auto request = fake_request(kGuilty);
  request.scheduler = "no such thing";
  const auto result = result_of(*fixture.engine->submit(request));
  EXPECT_EQ(result.code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(result.error->param(), "scheduler");
}

TEST(Faults, NonFiniteLatentsFailTheirRequestAndNameTheSeed) {
  for (const auto tickets : {FakeTickets::kSynchronous, FakeTickets::kDoneWhenWaited}) {
    const std::int64_t last_step = 4;
    for (const std::int64_t step : {std::int64_t{0}, std::int64_t{2}, last_step}) {
      const auto gate = std::make_shared<Gate>();
      EngineFixture fixture(gated(gate, {.max_generations_per_step = 4,
                                         .tickets = tickets,
                                         .faults = {{.seed = kGuilty, .step = step, .how = How::kNotFinite}}}));
      const auto guilty = fixture.engine->submit(fake_request(kGuilty, 5));
      const auto request = fake_request(kInnocent, 5, 2);
      const auto innocent = fixture.engine->submit(request);
      gate->open();
      const auto result = result_of(*guilty);
      EXPECT_EQ(result.code(), ErrorCode::kCorruptData) << "an error whose message clients receive";
      EXPECT_THAT(result.message(), HasSubstr("infinities or NaN"));
      EXPECT_THAT(result.message(), HasSubstr("seed 1"));
      expect_images(request, result_of(*innocent));
      EXPECT_LE(steps_of(*fixture.record, kGuilty), step + 2) << "at most one more, which was in flight already";
    }
  }
}

TEST(Faults, NonFiniteLatentsInFloat16NameTheRemedy) {
  for (const std::string dtype : {"float16", "float32"}) {
    FakeOptions options{.faults = {{.seed = kGuilty, .step = 1, .how = How::kNotFinite}}};
    options.description.dtype = dtype;
    EngineFixture fixture(std::move(options));
    const auto message = result_of(*fixture.engine->submit(fake_request(kGuilty))).message();
    EXPECT_EQ(message.find("--dtype bfloat16") != std::string::npos, dtype == "float16") << message;
  }
}

TEST(Faults, OutOfMemoryShrinksTheBatch) {
  const auto gate = std::make_shared<Gate>();
  EngineFixture fixture(gated(gate, {.max_generations_per_step = 8, .step_memory = 3}));
  const auto request = fake_request(kInnocent, 10, 8);
  const auto job = fixture.engine->submit(request);
  gate->open();
  expect_images(request, result_of(*job));
  std::vector<std::size_t> sizes;
  for (const auto& call : fixture.record->calls(FakeCallKind::kStep)) sizes.push_back(call.seeds.size());
  EXPECT_THAT(std::vector(sizes.begin(), sizes.begin() + 3), ::testing::ElementsAre(8, 4, 2));
  EXPECT_EQ(std::count_if(sizes.begin(), sizes.end(), [](auto size) { return size > 3; }), 2)
      << "the smaller limit was not kept";
  EXPECT_EQ(sizes.size(), 2u + 10 * 8 / 2);
}

TEST(Faults, OutOfMemoryWithBatchOfOneFailsTheRequest) {
  const FakeFault no_memory{.seed = kGuilty, .step = 2, .code = ErrorCode::kResourceExhausted};
  expect_only_the_guilty_fails({.faults = {no_memory}}, ErrorCode::kResourceExhausted);
  EngineFixture fixture({.step_memory = 0});
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(result_of(*fixture.engine->submit(fake_request(i))).code(), ErrorCode::kResourceExhausted);
  }
}

// Once for each stage, if there is a model on which no request runs.
TEST(Faults, OutOfMemoryWithBatchOfOneEvictsAnIdleModel) {
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
    EXPECT_FALSE(result_of(*engine->submit(fake_request_of("idle", 1))).error);
    const auto request = fake_request(kGuilty);
    expect_images(request, result_of(*engine->submit(request)));
    EXPECT_EQ(engine->model_state("idle"), ModelState::kUnloaded);
    EXPECT_FALSE(result_of(*engine->submit(fake_request_of("idle", 1))).error) << "the evicted model is loaded again";
    *failures = 0;
    engine->unload("idle");
    while (engine->model_state("idle") == ModelState::kReady) std::this_thread::yield();
    EXPECT_EQ(result_of(*engine->submit(request)).code(), ErrorCode::kResourceExhausted)
        << "there is no model left to evict";
    engine->drain();
    EXPECT_TRUE(record->violations().empty());
  }
}

TEST(Faults, OutOfMemoryInDecodeFailsTheRequest) {
  EngineFixture fixture({.finish_memory = 0});
  EXPECT_EQ(result_of(*fixture.engine->submit(fake_request(1))).code(), ErrorCode::kResourceExhausted);
}

TEST(Faults, BadAllocIsOutOfMemory) {
  EngineFixture fixture({.on_call = [](const FakeCall& call) {
    if (call.kind == FakeCallKind::kStep) throw std::bad_alloc();
  }});
  EXPECT_EQ(result_of(*fixture.engine->submit(fake_request(1))).code(), ErrorCode::kResourceExhausted);
}

// A fault that appears only in shared steps cannot be assigned to a request: the images are then stepped one by one.
TEST(Faults, FailedBatchIsRetriedOneByOne) {
  const auto gate = std::make_shared<Gate>();
  auto failures = std::make_shared<int>(0);
  EngineFixture fixture(gated(gate, {.max_generations_per_step = 4, .on_call = [failures](const FakeCall& call) {
                                       if (call.kind != FakeCallKind::kStep || call.seeds.size() < 2) return;
                                       if (++*failures == 1) throw std::runtime_error("once");
                                     }}));
  const auto request = fake_request(kInnocent, 5, 4);
  const auto job = fixture.engine->submit(request);
  gate->open();
  expect_images(request, result_of(*job));
  std::vector<std::size_t> sizes;
  for (const auto& call : fixture.record->calls(FakeCallKind::kStep)) sizes.push_back(call.seeds.size());
  EXPECT_THAT(sizes, ::testing::ElementsAre(4, 1, 1, 1, 1, 4, 4, 4, 4)) << "one step each, then shared steps again";
}

TEST(Faults, DeviceErrorFailsOnlyTheImagesOfItsTicket) {
  for (const auto where : {FakeCallKind::kBegin, FakeCallKind::kStep, FakeCallKind::kFinish}) {
    for (const auto tickets : {FakeTickets::kSynchronous, FakeTickets::kDoneWhenWaited}) {
      const auto gate = std::make_shared<Gate>();
      EngineFixture fixture(gated(
          gate,
          {.tickets = tickets, .faults = {{.where = where, .seed = kGuilty, .step = 2, .how = How::kDeviceError}}}));
      const auto guilty = fixture.engine->submit(fake_request(kGuilty, 5, 2));
      const auto request = fake_request(kInnocent, 5, 2);
      const auto innocent = fixture.engine->submit(request);
      gate->open();
      EXPECT_EQ(result_of(*guilty).code(), ErrorCode::kInternal);
      expect_images(request, result_of(*innocent));
    }
  }
}

TEST(Faults, DeviceErrorInASharedStepFailsTheWholeBatch) {
  const auto gate = std::make_shared<Gate>();
  EngineFixture fixture(gated(gate, {.max_generations_per_step = 4,
                                     .tickets = FakeTickets::kDoneWhenWaited,
                                     .faults = {{.seed = kGuilty, .step = 2, .how = How::kDeviceError}}}));
  const auto guilty = fixture.engine->submit(fake_request(kGuilty, 5));
  const auto companion = fixture.engine->submit(fake_request(kInnocent, 5));
  gate->open();
  EXPECT_EQ(result_of(*guilty).code(), ErrorCode::kInternal);
  EXPECT_EQ(result_of(*companion).code(), ErrorCode::kInternal);
  EXPECT_FALSE(result_of(*fixture.engine->submit(fake_request(kInnocent, 5))).error) << "the engine goes on";
}

TEST(Faults, WrongResultCountsAreInternalErrors) {
  const FakeOptions cases[] = {
      {.begin_returns_too_few = true}, {.finite_returns_too_few = true}, {.finish_returns_too_few = true}};
  for (const auto& options : cases) {
    EngineFixture fixture(options);
    for (const std::int64_t n : {1, 3}) {
      const auto result = result_of(*fixture.engine->submit(fake_request(1, 4, n)));
      EXPECT_EQ(result.code(), ErrorCode::kInternal);
      EXPECT_THAT(result.message(), HasSubstr("expected"));
    }
  }
}

// A fake whose results can be made defective one at a time.
class DefectivePipeline final : public Pipeline {
 public:
  enum class Defect { kNoTicket, kEmptyGeneration, kKeyThrows, kDoneThrows };
  DefectivePipeline(Defect what, std::shared_ptr<FakeRecord> record) : what_(what), fake_({}, std::move(record)) {}

  const ModelDescription& description() const override { return fake_.description(); }
  std::unique_ptr<BeginTicket> begin(const GenerationRequest& request, const StopPredicate& stop) override {
    auto ticket = fake_.begin(request, stop);
    if (what_ == Defect::kDoneThrows || what_ == Defect::kEmptyGeneration) {
      return std::make_unique<Begun>(what_, std::move(ticket));
    }
    return ticket;
  }
  std::string batch_key(const Generation& generation) const override {
    if (what_ == Defect::kKeyThrows && generation.progress().steps_done == 2) throw std::runtime_error("no key");
    return fake_.batch_key(generation);
  }
  std::unique_ptr<StepTicket> step(std::span<Generation* const> generations, const StopPredicate& stop) override {
    auto ticket = fake_.step(generations, stop);
    return what_ == Defect::kNoTicket ? nullptr : std::move(ticket);
  }
  std::optional<Image> preview(const Generation& generation) override { return fake_.preview(generation); }
  std::unique_ptr<FinishTicket> finish(std::span<Generation* const> generations, const StopPredicate& stop) override {
    return fake_.finish(generations, stop);
  }
  int max_generations_per_step() const override { return 0; }  // out of range: the engine uses 1

 private:
  struct Begun final : BeginTicket {
    Begun(Defect defect, std::unique_ptr<BeginTicket> ticket) : what(defect), inner(std::move(ticket)) {}
    bool done() const override {
      if (what == Defect::kDoneThrows) throw std::runtime_error("no idea");
      return inner->done();
    }
    void wait() override { inner->wait(); }
    std::vector<std::unique_ptr<Generation>> take() override {
      auto generations = inner->take();
      if (what == Defect::kEmptyGeneration) generations.back().reset();
      return generations;
    }
    Defect what;
    std::unique_ptr<BeginTicket> inner;
  };

  Defect what_;
  FakePipeline fake_;
};

TEST(Faults, DefectiveResultsAreInternalErrors) {
  using Defect = DefectivePipeline::Defect;
  for (const auto what : {Defect::kNoTicket, Defect::kEmptyGeneration, Defect::kKeyThrows, Defect::kDoneThrows}) {
    const auto record = std::make_shared<FakeRecord>();
    std::vector<ServedModel> models;
    models.push_back({fake_description(), [&](const std::string&, const LoadProgress&) {
                        return std::make_unique<DefectivePipeline>(what, record);
                      }});
    const auto engine = make_engine(std::move(models), {});
    for (int i = 0; i < 2; ++i) {
      const auto result = result_of(*engine->submit(fake_request(kInnocent, 4, 2)));
      EXPECT_EQ(result.error.has_value(), what != Defect::kDoneThrows) << "only wait() decides";
      if (result.error) {
        EXPECT_EQ(result.code(), ErrorCode::kInternal);
      }
    }
    engine->drain();
    EXPECT_EQ(record->live_generations(), 0);
  }
}

}  // namespace
}  // namespace easel::testing
