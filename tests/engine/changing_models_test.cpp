// Models that are added, replaced and removed while requests are served.
#include <gmock/gmock.h>

#include <atomic>
#include <random>
#include <thread>

#include "harness.h"

namespace easel::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ServedModel model_of(const std::string& id, const std::shared_ptr<FakeRecord>& record, FakeOptions options = {}) {
  options.description = fake_description(id);
  return served_fake(std::move(options), record);
}

std::vector<std::string> ids_of(const Engine& engine) {
  std::vector<std::string> ids;
  for (const auto& model : engine.models()) ids.push_back(model.id);
  return ids;
}

ErrorCode code_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.code();
  }
  return static_cast<ErrorCode>(-1);
}

TEST(ChangingModels, AddedModelIsServedAtOnce) {
  EngineFixture fixture;
  EXPECT_EQ(code_of([&] { fixture.engine->submit(fake_request_of("new", 1)); }), ErrorCode::kNotFound);
  fixture.engine->put(model_of("new", fixture.record));
  EXPECT_THAT(ids_of(*fixture.engine), ElementsAre("fake", "new"));
  EXPECT_EQ(fixture.engine->status("new").state, ModelState::kUnloaded);
  const auto request = fake_request_of("new", 1);
  expect_images(request, result_of(*fixture.engine->submit(request)));
  EXPECT_EQ(fixture.engine->status("new").state, ModelState::kReady);
}

TEST(ChangingModels, RemovedModelIsUnknown) {
  EngineFixture fixture;
  fixture.engine->put(model_of("other", fixture.record));
  result_of(*fixture.engine->submit(fake_request_of("other", 1)));
  fixture.engine->remove("other");
  EXPECT_THAT(ids_of(*fixture.engine), ElementsAre("fake"));
  EXPECT_EQ(code_of([&] { fixture.engine->submit(fake_request_of("other", 1)); }), ErrorCode::kNotFound);
  EXPECT_EQ(code_of([&] { fixture.engine->status("other"); }), ErrorCode::kNotFound);
  EXPECT_EQ(code_of([&] { fixture.engine->remove("other"); }), ErrorCode::kNotFound);
  EXPECT_EQ(code_of([&] { fixture.engine->remove("fake"); }), ErrorCode::kInvalidArgument) << "the only model";
  expect_images(fake_request(2), result_of(*fixture.engine->submit(fake_request(2))));
}

TEST(ChangingModels, RequestThatWaitsForARemovedModelEndsAsIfItWereUnknown) {
  const auto gate = std::make_shared<Gate>();
  EngineFixture fixture(gated(gate));
  fixture.engine->put(model_of("other", fixture.record));
  const auto waits = fixture.engine->submit(fake_request_of("other", 1));
  fixture.engine->remove("other");
  const auto result = result_of(*waits);
  EXPECT_EQ(result.code(), ErrorCode::kNotFound);
  EXPECT_EQ(result.error->param(), "model");
  EXPECT_THAT(result.message(), HasSubstr("\"other\" is not served here"));
  gate->open();
}

/// Opens a gate in the first step of a request, and lets it go on when another is opened.
FakeOptions stopping_in_first_step(const std::shared_ptr<Gate>& reached, const std::shared_ptr<Gate>& go_on) {
  FakeOptions options;
  options.on_call = [=, first = true](const FakeCall& call) mutable {
    if (call.kind != FakeCallKind::kStep || !std::exchange(first, false)) return;
    reached->open();
    go_on->pass();
  };
  return options;
}

TEST(ChangingModels, ImagesInProgressAreCompletedWithARemovedModel) {
  const auto reached = std::make_shared<Gate>(), go_on = std::make_shared<Gate>();
  EngineFixture fixture;
  fixture.engine->put(model_of("other", fixture.record, stopping_in_first_step(reached, go_on)));
  auto request = fake_request_of("other", 1);
  request.num_images = 3;
  const auto running = fixture.engine->submit(request);
  reached->pass();
  fixture.engine->remove("other");
  go_on->open();
  expect_images(request, result_of(*running));
  expect_images(fake_request(9), result_of(*fixture.engine->submit(fake_request(9))));
}

TEST(ChangingModels, ReplacedModelIsLoadedAnewForTheNextRequest) {
  const auto reached = std::make_shared<Gate>(), go_on = std::make_shared<Gate>();
  const auto old_record = std::make_shared<FakeRecord>(), new_record = std::make_shared<FakeRecord>();
  EngineFixture fixture;
  fixture.engine->put(model_of("other", old_record, stopping_in_first_step(reached, go_on)));
  const auto first = fake_request_of("other", 1), second = fake_request_of("other", 2);
  const auto running = fixture.engine->submit(first);
  reached->pass();
  const auto waiting = fixture.engine->submit(second);
  fixture.engine->put(model_of("other", new_record));
  go_on->open();
  expect_images(first, result_of(*running));
  expect_images(second, result_of(*waiting));
  EXPECT_EQ(old_record->calls(FakeCallKind::kBegin).size(), 1u);
  ASSERT_EQ(new_record->calls(FakeCallKind::kBegin).size(), 1u);
  EXPECT_EQ(new_record->calls(FakeCallKind::kBegin)[0].seeds.at(0), 2u);
  EXPECT_EQ(new_record->calls(FakeCallKind::kLoad).size(), 1u);
  EXPECT_THAT(ids_of(*fixture.engine), ElementsAre("fake", "other"));
}

TEST(ChangingModels, RemovedModelLeavesMemory) {
  std::atomic<std::int64_t> alive = 0;
  struct Counted : FakePipeline {
    Counted(std::atomic<std::int64_t>& count, FakeOptions options) : FakePipeline(std::move(options)), count_(count) {
      ++count_;
    }
    ~Counted() override { --count_; }
    std::atomic<std::int64_t>& count_;
  };
  EngineFixture fixture;
  for (int i = 0; i < 3; ++i) {
    FakeOptions options;
    options.description = fake_description("other");
    fixture.engine->put(
        {.description = options.description, .load = [&alive, options](const std::string&, const LoadProgress&) {
           return std::make_unique<Counted>(alive, options);
         }});
    result_of(*fixture.engine->submit(fake_request_of("other", 1)));
    EXPECT_LE(alive, 2);
  }
  fixture.engine->remove("other");
  for (int i = 0; i < 1000 && alive > 0; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(alive, 0);
}

/// 1,000 changes of three models on two devices while four threads send requests and one asks for the status of all.
TEST(ChangingModels, ChangesUnderLoadEndEveryRequestOnce) {
  const auto record = std::make_shared<FakeRecord>();
  std::vector<ServedModel> models;
  models.push_back(model_of("fake", record, {.max_generations_per_step = 2}));
  const auto engine = make_engine(std::move(models), {.devices = {"a", "b"}, .memory_budget = 0});
  const std::vector<std::string> names = {"fake", "one", "two", "three"};
  std::atomic<bool> done = false;
  std::atomic<int> drawn = 0, unknown = 0;
  std::vector<std::thread> threads;
  for (unsigned thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      std::mt19937 random(thread);
      while (!done) {
        const auto request = fake_request_of(names[random() % names.size()], random() % 1000, 1 + random() % 3);
        try {
          const auto result = result_of(*engine->submit(request));
          if (result.error) {
            EXPECT_EQ(result.code(), ErrorCode::kNotFound) << result.message();
          } else {
            expect_images(request, result);
          }
          ++(result.error ? unknown : drawn);
        } catch (const Error& error) {
          EXPECT_EQ(error.code(), ErrorCode::kNotFound) << error.what();
          ++unknown;
        }
      }
    });
  }
  threads.emplace_back([&] {
    while (!done) {
      for (const auto& id : ids_of(*engine)) code_of([&] { engine->status(id); });
    }
  });
  std::mt19937 random(99);
  for (int i = 0; i < 1000; ++i) {
    const auto& name = names[1 + random() % 3];
    if (random() % 3 == 0) {
      code_of([&] { engine->remove(name); });
    } else {
      engine->put(model_of(name, record, {.max_generations_per_step = 1 + static_cast<int>(random() % 2)}));
    }
    if (i % 4 == 0) std::this_thread::sleep_for(std::chrono::microseconds(500));
  }
  done = true;
  for (auto& thread : threads) thread.join();
  engine->drain();
  EXPECT_GT(drawn, 50);
  EXPECT_GT(unknown, 0);
  EXPECT_EQ(record->live_generations(), 0);
  for (const auto& sentence : record->violations()) ADD_FAILURE() << sentence;
}

}  // namespace
}  // namespace easel::testing
