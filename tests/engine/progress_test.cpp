// What listeners and observers are told.
#include <gmock/gmock.h>

#include <atomic>
#include <map>
#include <mutex>
#include <thread>

#include "harness.h"

namespace easel::testing {
namespace {

using Kind = ProgressEvent::Kind;
using ::testing::ElementsAre;

std::vector<Kind> kinds(const std::vector<ProgressEvent>& events) {
  std::vector<Kind> all;
  for (const auto& event : events) all.push_back(event.kind);
  return all;
}

TEST(Progress, TellsEveryStageInOrder) {
  std::vector<ProgressEvent> events;
  SubmitOptions options;
  options.listener = [&](const ProgressEvent& event) { events.push_back(event); };
  options.preview_every = 2;
  Studio studio;
  EXPECT_FALSE(answer_of(*studio.engine->submit(ask(1, 4), options)).error);
  studio.engine->drain();
  EXPECT_THAT(kinds(events), ElementsAre(Kind::kQueued, Kind::kStarted, Kind::kStep, Kind::kStep, Kind::kStep,
                                         Kind::kStep, Kind::kDecoding));
  EXPECT_EQ(events[2].progress.steps_done, 1);
  EXPECT_EQ(events[5].progress.steps_done, 4);
  EXPECT_EQ(events[5].progress.steps_total, 4);
  EXPECT_FALSE(events[2].preview);
  ASSERT_TRUE(events[3].preview) << "every second step";
  EXPECT_EQ(events[3].preview->width, 8) << "at latent resolution";
  EXPECT_FALSE(events[5].preview) << "the picture itself is next";
}

TEST(Progress, NobodyListensNobodyPays) {
  SubmitOptions options;
  options.preview_every = 1;  // but no listener
  Studio studio;
  EXPECT_FALSE(answer_of(*studio.engine->submit(ask(1), options)).error);
  options.listener = [](const ProgressEvent&) {};
  options.preview_every = 0;
  EXPECT_FALSE(answer_of(*studio.engine->submit(ask(2), options)).error);
  EXPECT_TRUE(studio.record->calls(FakeCallKind::kPreview).empty());
}

TEST(Progress, PreviewsMustBeCheap) {
  std::atomic<int> previews = 0;
  SubmitOptions options;
  options.listener = [&](const ProgressEvent& event) { previews += event.preview.has_value(); };
  options.preview_every = 1;
  Studio studio({.on_call = [](const FakeCall& call) {
    if (call.kind == FakeCallKind::kPreview) std::this_thread::sleep_for(std::chrono::milliseconds(300));
  }});
  EXPECT_FALSE(answer_of(*studio.engine->submit(ask(1, 50), options)).error);
  EXPECT_EQ(previews, 1) << "one took longer than the rest of the picture";
}

TEST(Progress, ListenersAndPreviewsThatFailHarmNobody) {
  SubmitOptions throws, blind;
  int calls = 0;
  throws.listener = [&](const ProgressEvent&) {
    ++calls;
    throw std::runtime_error("no");
  };
  std::vector<ProgressEvent> events;
  blind.listener = [&](const ProgressEvent& event) { events.push_back(event); };
  blind.preview_every = 1;
  Studio studio({.on_call = [](const FakeCall& call) {
    if (call.kind == FakeCallKind::kPreview) throw std::runtime_error("no picture");
  }});
  EXPECT_FALSE(answer_of(*studio.engine->submit(ask(1), throws)).error);
  EXPECT_EQ(calls, 1) << "it is not asked again";
  EXPECT_FALSE(answer_of(*studio.engine->submit(ask(2), blind)).error);
  studio.engine->drain();
  EXPECT_EQ(events.size(), 7u);
  for (const auto& event : events) EXPECT_FALSE(event.preview);
}

TEST(Progress, AListenerMayGiveItsJobUp) {
  std::weak_ptr<Job> job;
  const auto door = std::make_shared<Door>();
  SubmitOptions options;
  options.listener = [&](const ProgressEvent& event) {
    if (event.kind == Kind::kStep && event.progress.steps_done == 2) job.lock()->cancel();
  };
  Studio studio(behind(door));
  const auto owner = studio.engine->submit(ask(1, 50), options);
  job = owner;
  door->open();
  EXPECT_EQ(answer_of(*owner).code(), ErrorCode::kCancelled);
  studio.engine->drain();
  EXPECT_EQ(steps_of(*studio.record, 1), 2);
}

TEST(Figures, OfAJobAddUp) {
  const auto door = std::make_shared<Door>();
  Studio studio(behind(door, {.max_generations_per_step = 2, .step_time = std::chrono::milliseconds(2)}));
  const auto one = studio.engine->submit(ask(1, 5)), two = studio.engine->submit(ask(2, 5));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_GE(one->figures().waited_seconds, 0.02);
  EXPECT_EQ(one->figures().drawn_seconds, 0);
  door->open();
  EXPECT_FALSE(answer_of(*one).error);
  EXPECT_FALSE(answer_of(*two).error);
  const auto figures = one->figures();
  EXPECT_GE(figures.waited_seconds, 0.02);
  EXPECT_GE(figures.device_seconds, 0.009) << "five steps, half of four milliseconds each";
  EXPECT_LE(figures.device_seconds, figures.drawn_seconds);
  EXPECT_EQ(figures.most_rows, 4) << "two pictures with guidance";
}

class Counting : public EngineObserver {
 public:
  void on_queue(std::size_t waiting, std::size_t drawing) override { count("unended", waiting + drawing, true); }
  void on_started(const std::string& model, double) override { count("started " + model); }
  void on_ended(const std::string&, RequestOutcome outcome, double, std::int64_t pictures) override {
    count("ended " + std::to_string(static_cast<int>(outcome)));
    count("pictures", static_cast<std::size_t>(pictures));
  }
  void on_refused(const std::string&, RefusalReason reason) override {
    count("refused " + std::to_string(static_cast<int>(reason)));
  }
  void on_begin(const ModelAt&, std::int64_t pictures, double) override {
    count("begun", static_cast<std::size_t>(pictures));
  }
  void on_step(const ModelAt&, int rows, int pictures, double) override {
    count("rows", static_cast<std::size_t>(rows));
    count("picture steps", static_cast<std::size_t>(pictures));
  }
  void on_decode(const ModelAt&, double) override { count("decodes"); }
  void on_batch_shrunk(const ModelAt&, int pictures) override { count("shrunk", static_cast<std::size_t>(pictures)); }
  void on_loaded(const ModelAt& at, double, std::int64_t) override { count("loaded " + at.model); }
  void on_load_failed(const ModelAt& at, double) override { count("not loaded " + at.model); }
  void on_unloaded(const ModelAt& at, std::int64_t, bool evicted) override {
    count((evicted ? "evicted " : "unloaded ") + at.model);
  }

  std::map<std::string, std::size_t> counts() const {
    const std::lock_guard lock(mutex_);
    return counts_;
  }

 private:
  void count(const std::string& what, std::size_t add = 1, bool set = false) {
    const std::lock_guard lock(mutex_);
    counts_[what] = add + (set ? 0 : counts_[what]);
  }
  mutable std::mutex mutex_;  // guards the counts
  std::map<std::string, std::size_t> counts_;
};

TEST(Observer, HearsOfEverything) {
  const auto observer = std::make_shared<Counting>();
  const auto door = std::make_shared<Door>();
  {
    Studio studio(behind(door, {.max_generations_per_step = 2, .step_memory = 1, .faults = {{.seed = 50}}}),
                  {.max_waiting = 4, .observer = observer});
    const auto drawn = studio.engine->submit(ask(1, 3, 2));
    const auto cancelled = studio.engine->submit(ask(10, 3)), failed = studio.engine->submit(ask(50, 3));
    const auto late = studio.engine->submit(ask(20, 3), {.timeout = std::chrono::milliseconds(1)});
    EXPECT_THROW(studio.engine->submit(ask(30)), Error);
    cancelled->cancel();
    EXPECT_EQ(answer_of(*late).code(), ErrorCode::kDeadlineExceeded);
    door->open();
    EXPECT_FALSE(answer_of(*drawn).error);
    EXPECT_TRUE(answer_of(*failed).error);
    studio.engine->drain();
    EXPECT_THROW(studio.engine->submit(ask(30)), Error);
  }
  const auto outcome = [](RequestOutcome which) { return "ended " + std::to_string(static_cast<int>(which)); };
  const auto reason = [](RefusalReason which) { return "refused " + std::to_string(static_cast<int>(which)); };
  auto counts = observer->counts();
  EXPECT_EQ(counts[outcome(RequestOutcome::kDrawn)], 1u);
  EXPECT_EQ(counts[outcome(RequestOutcome::kCancelled)], 1u);
  EXPECT_EQ(counts[outcome(RequestOutcome::kTimedOut)], 1u);
  EXPECT_EQ(counts[outcome(RequestOutcome::kFailed)], 1u);
  EXPECT_EQ(counts[reason(RefusalReason::kFull)], 1u);
  EXPECT_EQ(counts[reason(RefusalReason::kDraining)], 1u);
  EXPECT_EQ(counts["pictures"], 2u);
  EXPECT_EQ(counts["unended"], 0u);
  EXPECT_EQ(counts["started fake"], 2u);
  EXPECT_EQ(counts["begun"], 3u);
  EXPECT_EQ(counts["picture steps"], 6u);
  EXPECT_EQ(counts["rows"], 12u);
  EXPECT_EQ(counts["decodes"], 2u);
  EXPECT_EQ(counts["shrunk"], 1u);
  EXPECT_EQ(counts["loaded fake"], 1u);
}

}  // namespace
}  // namespace easel::testing
