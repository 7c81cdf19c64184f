// Models are loaded when they are needed, once, and their failure is theirs alone.
#include <gmock/gmock.h>

#include <thread>

#include "harness.h"

namespace easel::testing {
namespace {

std::unique_ptr<Engine> serve(std::vector<FakeOptions> options, const std::shared_ptr<FakeRecord>& record) {
  std::vector<ServedModel> models;
  for (auto& each : options) models.push_back(served_fake(std::move(each), record));
  return make_engine(std::move(models), {});
}

ModelState settled_state(const Engine& engine, const std::string& id) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (std::chrono::steady_clock::now() < deadline) {
    const auto state = engine.model_state(id);
    if (state == ModelState::kReady || state == ModelState::kFailed) return state;
    std::this_thread::yield();
  }
  return engine.model_state(id);
}

FakeOptions model(const std::string& id) {
  return {.description = fake_description(id)};
}

FakeOptions broken(const std::string& id, FakeFault::How how, ErrorCode code = ErrorCode::kCorruptData) {
  auto options = model(id);
  options.faults = {{.where = FakeCallKind::kLoad, .how = how, .code = code}};
  return options;
}

TEST(Residency, TheFirstModelLoadsAtOnceTheOthersWhenAskedFor) {
  const auto record = std::make_shared<FakeRecord>();
  const auto engine = serve({model("first"), model("second")}, record);
  EXPECT_EQ(settled_state(*engine, "first"), ModelState::kReady);
  EXPECT_EQ(engine->model_state("second"), ModelState::kUnloaded);
  EXPECT_FALSE(answer_of(*engine->submit(ask_of("second", 1))).error);
  EXPECT_EQ(engine->model_state("second"), ModelState::kReady);
  EXPECT_FALSE(answer_of(*engine->submit(ask_of("second", 1))).error);
  EXPECT_FALSE(answer_of(*engine->submit(ask_of("first", 1))).error);
  EXPECT_EQ(record->calls(FakeCallKind::kLoad).size(), 2u);
}

TEST(Residency, SaysThatItIsLoading) {
  const auto record = std::make_shared<FakeRecord>();
  const auto door = std::make_shared<Door>();
  const auto engine = serve({behind(door)}, record);
  while (record->calls(FakeCallKind::kLoad).empty()) std::this_thread::yield();
  EXPECT_EQ(engine->model_state("fake"), ModelState::kLoading);
  const auto job = engine->submit(ask(1));
  EXPECT_FALSE(job->wait_for(std::chrono::milliseconds(20)));
  door->open();
  EXPECT_FALSE(answer_of(*job).error);
  EXPECT_EQ(engine->model_state("fake"), ModelState::kReady);
}

TEST(Residency, AFailedLoadIsTheAnswerToItsRequestsOnly) {
  using How = FakeFault::How;
  for (const auto how : {How::kError, How::kStdException, How::kNotException, How::kNull}) {
    const auto record = std::make_shared<FakeRecord>();
    const auto engine = serve({broken("bad", how), model("good")}, record);
    for (int i = 0; i < 2; ++i) {
      const auto answer = answer_of(*engine->submit(ask_of("bad", 1)));
      EXPECT_EQ(answer.code(), how == How::kError ? ErrorCode::kCorruptData : ErrorCode::kInternal);
    }
    EXPECT_EQ(engine->model_state("bad"), ModelState::kFailed);
    EXPECT_FALSE(answer_of(*engine->submit(ask_of("good", 1))).error);
    EXPECT_EQ(record->calls(FakeCallKind::kLoad).size(), 2u) << "it was tried again";
  }
}

// What a device library keeps for a thread must not be left to another one.
TEST(Residency, ModelsAreFreedByTheThreadThatMadeThem) {
  struct Watched final : FakePipeline {
    explicit Watched(std::promise<std::thread::id>& freed) : FakePipeline({}), freed(freed) {}
    ~Watched() override { freed.set_value(std::this_thread::get_id()); }
    std::promise<std::thread::id>& freed;
  };
  std::promise<std::thread::id> made, freed;
  std::vector<ServedModel> models;
  models.push_back({fake_description(), [&](const LoadProgress&) {
                      made.set_value(std::this_thread::get_id());
                      return std::make_unique<Watched>(freed);
                    }});
  make_engine(std::move(models), {}).reset();
  EXPECT_EQ(made.get_future().get(), freed.get_future().get());
}

TEST(Residency, NoLoaderIsAFailedLoad) {
  std::vector<ServedModel> models;
  models.push_back({fake_description("empty"), {}});
  const auto engine = make_engine(std::move(models), {});
  EXPECT_EQ(settled_state(*engine, "empty"), ModelState::kFailed);
  EXPECT_EQ(answer_of(*engine->submit(ask_of("empty", 1))).code(), ErrorCode::kInternal);
}

TEST(Residency, CancelledBeforeItsModelWasThere) {
  const auto record = std::make_shared<FakeRecord>();
  const auto door = std::make_shared<Door>();
  auto second = model("second");
  const auto engine = serve({model("first"), behind(door, std::move(second))}, record);
  const auto job = engine->submit(ask_of("second", 1));
  while (record->calls(FakeCallKind::kLoad).size() < 2) std::this_thread::yield();
  job->cancel();
  EXPECT_EQ(answer_of(*job).code(), ErrorCode::kCancelled) << "at once, while the model is still loading";
  door->open();
  engine->drain();
  EXPECT_TRUE(record->calls(FakeCallKind::kBegin).empty());
}

}  // namespace
}  // namespace easel::testing
