// Models are loaded once, when they are needed, and a failed load fails only the requests for that model.
#include <gmock/gmock.h>

#include <atomic>
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
  const auto deadline = std::chrono::steady_clock::now() + kTestTimeout;
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

TEST(Residency, FirstModelLoadsAtStartOthersOnDemand) {
  const auto record = std::make_shared<FakeRecord>();
  const auto engine = serve({model("first"), model("second")}, record);
  EXPECT_EQ(settled_state(*engine, "first"), ModelState::kReady);
  EXPECT_EQ(engine->model_state("second"), ModelState::kUnloaded);
  EXPECT_FALSE(result_of(*engine->submit(fake_request_of("second", 1))).error);
  EXPECT_EQ(engine->model_state("second"), ModelState::kReady);
  EXPECT_FALSE(result_of(*engine->submit(fake_request_of("second", 1))).error);
  EXPECT_FALSE(result_of(*engine->submit(fake_request_of("first", 1))).error);
  EXPECT_EQ(record->calls(FakeCallKind::kLoad).size(), 2u);
}

TEST(Residency, ReportsLoadingState) {
  const auto record = std::make_shared<FakeRecord>();
  const auto gate = std::make_shared<Gate>();
  const auto engine = serve({gated(gate)}, record);
  while (record->calls(FakeCallKind::kLoad).empty()) std::this_thread::yield();
  EXPECT_EQ(engine->model_state("fake"), ModelState::kLoading);
  const auto job = engine->submit(fake_request(1));
  EXPECT_FALSE(job->wait_for(std::chrono::milliseconds(20)));
  gate->open();
  EXPECT_FALSE(result_of(*job).error);
  EXPECT_EQ(engine->model_state("fake"), ModelState::kReady);
}

TEST(Residency, FailedLoadFailsOnlyItsOwnRequests) {
  using How = FakeFault::How;
  for (const auto how : {How::kError, How::kStdException, How::kNotException, How::kNull}) {
    const auto record = std::make_shared<FakeRecord>();
    const auto engine = serve({broken("bad", how), model("good")}, record);
    for (int i = 0; i < 2; ++i) {
      const auto result = result_of(*engine->submit(fake_request_of("bad", 1)));
      EXPECT_EQ(result.code(), how == How::kError ? ErrorCode::kCorruptData : ErrorCode::kInternal);
    }
    EXPECT_EQ(engine->model_state("bad"), ModelState::kFailed);
    EXPECT_FALSE(result_of(*engine->submit(fake_request_of("good", 1))).error);
    EXPECT_EQ(record->calls(FakeCallKind::kLoad).size(), 2u) << "it was tried again";
  }
}

// A card has no swap: what is left over from other models must leave it before one that does not fit is given up.
TEST(Residency, LoadThatRunsOutOfMemoryIsTriedAgainWithoutIdleModels) {
  const auto record = std::make_shared<FakeRecord>();
  std::atomic<int> resident = 0;
  const auto counted = [&](const std::string& id, int most) {
    ServedModel served{.description = fake_description(id), .load = nullptr};
    served.load = [&resident, most, record, id](const std::string& device, const LoadProgress&) {
      struct Counted final : FakePipeline {
        Counted(FakeOptions options, std::shared_ptr<FakeRecord> calls, std::string where, std::atomic<int>& number)
            : FakePipeline(std::move(options), std::move(calls), std::move(where)), count(number) {
          ++count;
        }
        ~Counted() override { --count; }
        std::atomic<int>& count;
      };
      record->add({FakeCallKind::kLoad, id, {}, {}, device});
      if (resident >= most) throw Error(ErrorCode::kResourceExhausted, "device memory is used up");
      return std::make_unique<Counted>(model(id), record, device, resident);
    };
    return served;
  };
  auto engine = make_engine({counted("a", 9), counted("b", 9), counted("c", 2), counted("d", 0)}, {});
  for (const auto* id : {"a", "b", "c"}) {
    EXPECT_FALSE(result_of(*engine->submit(fake_request_of(id, 1))).error) << id;
  }
  EXPECT_EQ(engine->model_state("a"), ModelState::kUnloaded);
  EXPECT_EQ(engine->model_state("c"), ModelState::kReady);
  EXPECT_EQ(record->calls(FakeCallKind::kLoad).size(), 4u) << "c took two attempts, after which one model was there";
  const auto too_large = result_of(*engine->submit(fake_request_of("d", 1)));
  EXPECT_EQ(too_large.code(), ErrorCode::kResourceExhausted) << "there is nothing left to unload";
  EXPECT_EQ(engine->model_state("d"), ModelState::kFailed);
  EXPECT_FALSE(result_of(*engine->submit(fake_request_of("a", 2))).error) << "the others are loaded again";
  engine.reset();
  EXPECT_EQ(resident, 0);
}

// A device library may keep state for each thread, so a pipeline must be destroyed on the thread that used it.
TEST(Residency, ModelsAreDestroyedOnTheLoopThread) {
  struct Watched final : FakePipeline {
    Watched(std::promise<std::thread::id>& drew_on, std::promise<std::thread::id>& freed_on)
        : FakePipeline({}), drew(drew_on), freed(freed_on) {}
    ~Watched() override { freed.set_value(std::this_thread::get_id()); }
    std::unique_ptr<BeginTicket> begin(const GenerationRequest& request, const StopPredicate& stop) override {
      drew.set_value(std::this_thread::get_id());
      return FakePipeline::begin(request, stop);
    }
    std::promise<std::thread::id>& drew;
    std::promise<std::thread::id>& freed;
  };
  std::promise<std::thread::id> made, drew, freed;
  std::vector<ServedModel> models;
  models.push_back({fake_description(), [&](const std::string&, const LoadProgress&) {
                      made.set_value(std::this_thread::get_id());
                      return std::make_unique<Watched>(drew, freed);
                    }});
  auto engine = make_engine(std::move(models), {});
  EXPECT_FALSE(result_of(*engine->submit(fake_request(1))).error);
  engine.reset();
  const auto loop = drew.get_future().get();
  EXPECT_EQ(loop, freed.get_future().get());
  EXPECT_NE(loop, made.get_future().get()) << "loading must not delay the loop";
}

TEST(Residency, OtherModelsServeWhileOneLoads) {
  const auto record = std::make_shared<FakeRecord>();
  const auto gate = std::make_shared<Gate>();
  const auto engine = serve({model("first"), gated(gate, model("second"))}, record);
  const auto patient = engine->submit(fake_request_of("second", 1));
  while (engine->model_state("second") != ModelState::kLoading) std::this_thread::yield();
  EXPECT_FALSE(result_of(*engine->submit(fake_request_of("first", 2))).error);
  EXPECT_FALSE(patient->wait_for(std::chrono::milliseconds(0)));
  while (engine->status("second").loading_progress != 0.5) std::this_thread::yield();
  EXPECT_EQ(engine->status("second").memory_bytes, 64);
  gate->open();
  EXPECT_FALSE(result_of(*patient).error);
  EXPECT_EQ(engine->status("second").loading_progress, 1);
}

void wait_for_state(const Engine& engine, const std::string& id, ModelState state) {
  const auto deadline = std::chrono::steady_clock::now() + kTestTimeout;
  while (engine.model_state(id) != state && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  EXPECT_EQ(engine.model_state(id), state) << id;
}

TEST(Residency, LoadsAndUnloadsOnRequest) {
  const auto record = std::make_shared<FakeRecord>();
  const auto engine = serve({model("first"), model("second")}, record);
  EXPECT_THROW(engine->load("third"), Error);
  EXPECT_THROW(engine->unload("third"), Error);
  engine->load("second");
  wait_for_state(*engine, "second", ModelState::kReady);
  EXPECT_TRUE(engine->status("second").last_used.has_value());
  engine->unload("second");
  wait_for_state(*engine, "second", ModelState::kUnloaded);
  EXPECT_EQ(engine->status("second").memory_bytes, 0);
  EXPECT_FALSE(result_of(*engine->submit(fake_request_of("second", 1))).error) << "a request loads it again";
  engine->drain();
  EXPECT_THROW(engine->load("second"), Error) << "draining";
}

TEST(Residency, UnloadWaitsForActiveRequests) {
  const auto record = std::make_shared<FakeRecord>();
  std::shared_ptr<Job> late;
  Engine* engine = nullptr;
  auto options = model("first");
  const auto gate = std::make_shared<Gate>();
  options = gated(gate, options);
  options.on_call = [&, then = options.on_call](const FakeCall& call) {
    then(call);
    if (call.kind != FakeCallKind::kStep || call.steps[0] != 2 || late) return;
    engine->unload("first");
    late = engine->submit(fake_request_of("first", 9));
  };
  const auto owner = serve({options}, record);
  engine = owner.get();
  const auto early = engine->submit(fake_request_of("first", 1, 6));
  gate->open();
  EXPECT_FALSE(result_of(*early).error);
  EXPECT_FALSE(result_of(*late).error);
  std::vector<std::string> story;
  for (const auto& call : record->calls()) {
    if (call.kind == FakeCallKind::kLoad) story.push_back("load");
    if (call.kind == FakeCallKind::kFinish) story.push_back("finish " + std::to_string(call.seeds.front()));
  }
  EXPECT_THAT(story, ::testing::ElementsAre("load", "finish 1", "load", "finish 9"));
  EXPECT_TRUE(record->violations().empty());
}

TEST(Residency, FailedLoadIsRetriedAfterADelayOrOnRequest) {
  const auto record = std::make_shared<FakeRecord>();
  std::atomic<int> tries = 0;
  std::vector<ServedModel> models;
  models.push_back(
      {fake_description("flaky"), [&](const std::string&, const LoadProgress&) -> std::unique_ptr<Pipeline> {
         if (++tries < 3) throw Error(ErrorCode::kCorruptData, "half a file");
         return std::make_unique<FakePipeline>(model("flaky"), record);
       }});
  const auto engine = make_engine(std::move(models), {.load_retry = std::chrono::milliseconds(300)});
  wait_for_state(*engine, "flaky", ModelState::kFailed);
  EXPECT_EQ(engine->status("flaky").failure, "half a file");
  EXPECT_EQ(result_of(*engine->submit(fake_request_of("flaky", 1))).code(), ErrorCode::kCorruptData);
  EXPECT_EQ(tries, 1) << "it must not be tried again before load_retry";
  std::this_thread::sleep_for(std::chrono::milliseconds(310));
  EXPECT_EQ(result_of(*engine->submit(fake_request_of("flaky", 1))).code(), ErrorCode::kCorruptData);
  EXPECT_EQ(tries, 2);
  engine->load("flaky");
  wait_for_state(*engine, "flaky", ModelState::kReady);
  EXPECT_FALSE(result_of(*engine->submit(fake_request_of("flaky", 1))).error);
}

TEST(Residency, LeastRecentlyUsedModelIsEvicted) {
  const auto record = std::make_shared<FakeRecord>();
  std::vector<ServedModel> models;
  for (const auto* id : {"one", "two", "three", "pinned"}) models.push_back(served_fake(model(id), record));
  models.back().pinned = true;
  const auto engine = make_engine(std::move(models), {.memory_budget = 3 * 64});
  for (const auto* id : {"one", "two", "one", "three"}) {
    EXPECT_FALSE(result_of(*engine->submit(fake_request_of(id, 1))).error);
  }
  EXPECT_EQ(engine->model_state("two"), ModelState::kUnloaded);
  for (const auto* id : {"one", "three", "pinned"}) EXPECT_EQ(engine->model_state(id), ModelState::kReady) << id;
  EXPECT_TRUE(engine->status("pinned").pinned);
}

TEST(Residency, ModelLargerThanTheBudgetFails) {
  const auto record = std::make_shared<FakeRecord>();
  auto large = model("large");
  large.description.memory_bytes = 1000;
  std::vector<ServedModel> models;
  models.push_back(served_fake(model("small"), record));
  models.push_back(served_fake(large, record));
  const auto engine = make_engine(std::move(models), {.memory_budget = 500});
  const auto result = result_of(*engine->submit(fake_request_of("large", 1)));
  EXPECT_EQ(result.code(), ErrorCode::kResourceExhausted);
  EXPECT_THAT(result.message(), ::testing::HasSubstr("1000 bytes"));
  EXPECT_FALSE(result_of(*engine->submit(fake_request_of("small", 1))).error);
}

TEST(Residency, IdleModelIsUnloadedAfterKeepAlive) {
  const auto record = std::make_shared<FakeRecord>();
  std::vector<ServedModel> models;
  models.push_back(served_fake(model("idle"), record));
  models.push_back(served_fake(model("pinned"), record));
  models.back().pinned = true;
  const auto engine = make_engine(std::move(models), {.keep_alive = std::chrono::milliseconds(50)});
  EXPECT_FALSE(result_of(*engine->submit(fake_request_of("idle", 1))).error);
  wait_for_state(*engine, "pinned", ModelState::kReady);
  wait_for_state(*engine, "idle", ModelState::kUnloaded);
  EXPECT_EQ(engine->model_state("pinned"), ModelState::kReady);
}

// Two models, room for one, and steady requests for both: both are served.
TEST(Residency, ModelsInDemandTakeTurns) {
  const auto record = std::make_shared<FakeRecord>();
  std::vector<ServedModel> models;
  for (const auto* id : {"one", "two"}) {
    auto options = model(id);
    options.load_time = std::chrono::milliseconds(2);
    options.step_time = std::chrono::microseconds(200);
    models.push_back(served_fake(options, record));
  }
  const auto engine = make_engine(std::move(models), {.max_active_generations = 2, .memory_budget = 64});
  std::vector<std::shared_ptr<Job>> jobs;
  for (int i = 0; i < 60; ++i) jobs.push_back(engine->submit(fake_request_of(i % 2 ? "one" : "two", 10 * i)));
  for (const auto& job : jobs) EXPECT_FALSE(result_of(*job).error);
  const auto loads = record->calls(FakeCallKind::kLoad).size();
  EXPECT_GE(loads, 2u);
  EXPECT_LE(loads, 40u) << "too many loads for the work";
}

TEST(Residency, MissingLoaderIsAFailedLoad) {
  std::vector<ServedModel> models;
  models.push_back({fake_description("empty"), {}});
  const auto engine = make_engine(std::move(models), {});
  EXPECT_EQ(settled_state(*engine, "empty"), ModelState::kFailed);
  EXPECT_EQ(result_of(*engine->submit(fake_request_of("empty", 1))).code(), ErrorCode::kInternal);
}

TEST(Residency, RequestCanBeCancelledWhileItsModelLoads) {
  const auto record = std::make_shared<FakeRecord>();
  const auto gate = std::make_shared<Gate>();
  auto second = model("second");
  const auto engine = serve({model("first"), gated(gate, std::move(second))}, record);
  const auto job = engine->submit(fake_request_of("second", 1));
  while (record->calls(FakeCallKind::kLoad).size() < 2) std::this_thread::yield();
  job->cancel();
  EXPECT_EQ(result_of(*job).code(), ErrorCode::kCancelled) << "at once, while the model is still loading";
  gate->open();
  engine->drain();
  EXPECT_TRUE(record->calls(FakeCallKind::kBegin).empty());
}

}  // namespace
}  // namespace easel::testing
