// The events that listeners and observers receive.
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

TEST(Progress, ReportsEveryStageInOrder) {
  std::vector<ProgressEvent> events;
  SubmitOptions options;
  options.listener = [&](const ProgressEvent& event) { events.push_back(event); };
  options.preview_every = 2;
  EngineFixture fixture;
  EXPECT_FALSE(result_of(*fixture.engine->submit(fake_request(1, 4), options)).error);
  fixture.engine->drain();
  EXPECT_THAT(kinds(events), ElementsAre(Kind::kQueued, Kind::kStarted, Kind::kStep, Kind::kStep, Kind::kStep,
                                         Kind::kStep, Kind::kDecoding));
  EXPECT_EQ(events[2].progress.steps_done, 1);
  EXPECT_EQ(events[5].progress.steps_done, 4);
  EXPECT_EQ(events[5].progress.steps_total, 4);
  EXPECT_FALSE(events[2].preview);
  ASSERT_TRUE(events[3].preview) << "every second step";
  EXPECT_EQ(events[3].preview->width, 8) << "at latent resolution";
  EXPECT_FALSE(events[5].preview) << "the image itself is next";
}

TEST(Progress, RunsOverBothPassesOfARequest) {
  std::vector<ProgressEvent> events;
  SubmitOptions options;
  options.listener = [&](const ProgressEvent& event) {
    if (event.kind == Kind::kStep) events.push_back(event);
  };
  EngineFixture fixture;
  auto request = fake_request(1, 4);
  request.hires = HiresPass{.width = 128, .height = 96, .strength = 0.5};
  const auto result = result_of(*fixture.engine->submit(request, options));
  ASSERT_FALSE(result.error);
  EXPECT_EQ(result.images.at(0).image.width, 128);
  EXPECT_EQ(result.images.at(0).image.height, 96);
  ASSERT_EQ(events.size(), 6u);
  EXPECT_EQ(events.front().progress.steps_total, 4 + 2);
  EXPECT_EQ(events.back().progress.steps_done, 6);
  EXPECT_THAT(fixture.record->violations(), ElementsAre());
}

TEST(Progress, NoPreviewsWithoutAListener) {
  SubmitOptions options;
  options.preview_every = 1;  // without a listener
  EngineFixture fixture;
  EXPECT_FALSE(result_of(*fixture.engine->submit(fake_request(1), options)).error);
  options.listener = [](const ProgressEvent&) {};
  options.preview_every = 0;
  EXPECT_FALSE(result_of(*fixture.engine->submit(fake_request(2), options)).error);
  EXPECT_TRUE(fixture.record->calls(FakeCallKind::kPreview).empty());
}

TEST(Progress, ExpensivePreviewsAreSkipped) {
  std::atomic<int> previews = 0;
  SubmitOptions options;
  options.listener = [&](const ProgressEvent& event) { previews += event.preview.has_value(); };
  options.preview_every = 1;
  EngineFixture fixture({.on_call = [](const FakeCall& call) {
    if (call.kind == FakeCallKind::kPreview) std::this_thread::sleep_for(std::chrono::milliseconds(300));
  }});
  EXPECT_FALSE(result_of(*fixture.engine->submit(fake_request(1, 50), options)).error);
  EXPECT_EQ(previews, 1) << "one took longer than the rest of the image";
}

// @return the steps after which an image of `steps` steps has one of `count` previews
std::vector<std::int64_t> preview_steps(std::int64_t steps, std::int64_t count) {
  std::vector<std::int64_t> at;
  SubmitOptions options;
  options.listener = [&](const ProgressEvent& event) {
    if (event.preview) at.push_back(event.progress.steps_done);
  };
  options.preview_count = count;
  EngineFixture fixture;
  EXPECT_FALSE(result_of(*fixture.engine->submit(fake_request(1, steps), options)).error);
  fixture.engine->drain();
  return at;
}

TEST(Progress, CountedPreviewsAreSpreadOverTheSteps) {
  EXPECT_THAT(preview_steps(20, 1), ElementsAre(10));
  EXPECT_THAT(preview_steps(20, 3), ElementsAre(5, 10, 15));
  EXPECT_THAT(preview_steps(10, 3), ElementsAre(3, 5, 8));
  EXPECT_THAT(preview_steps(3, 3), ElementsAre(1, 2)) << "two are due after the second step, one is made";
  EXPECT_THAT(preview_steps(1, 3), ElementsAre());
  EXPECT_THAT(preview_steps(20, 0), ElementsAre());
}

TEST(Progress, CountedPreviewsAreMadeForEveryImage) {
  std::map<std::int64_t, int> of_image;
  SubmitOptions options;
  options.listener = [&](const ProgressEvent& event) { of_image[event.image] += event.preview.has_value(); };
  options.preview_count = 2;
  EngineFixture fixture;
  EXPECT_FALSE(result_of(*fixture.engine->submit(fake_request(1, 9, 3), options)).error);
  fixture.engine->drain();
  EXPECT_THAT(of_image, ElementsAre(std::pair(0, 2), std::pair(1, 2), std::pair(2, 2)));
}

TEST(Progress, ThePreviewCountIsBounded) {
  EngineFixture fixture;
  for (const std::int64_t count : {std::int64_t{-1}, kMaxPreviewCount + 1}) {
    SubmitOptions options;
    options.preview_count = count;
    EXPECT_THROW(fixture.engine->submit(fake_request(1), options), Error) << count;
  }
}

TEST(Progress, FailingListenersAndPreviewsDoNotFailTheRequest) {
  SubmitOptions throws, blind;
  int calls = 0;
  throws.listener = [&](const ProgressEvent&) {
    ++calls;
    throw std::runtime_error("no");
  };
  std::vector<ProgressEvent> events;
  blind.listener = [&](const ProgressEvent& event) { events.push_back(event); };
  blind.preview_every = 1;
  EngineFixture fixture({.on_call = [](const FakeCall& call) {
    if (call.kind == FakeCallKind::kPreview) throw std::runtime_error("no image");
  }});
  EXPECT_FALSE(result_of(*fixture.engine->submit(fake_request(1), throws)).error);
  EXPECT_EQ(calls, 1) << "a listener that threw is not called again";
  EXPECT_FALSE(result_of(*fixture.engine->submit(fake_request(2), blind)).error);
  fixture.engine->drain();
  EXPECT_EQ(events.size(), 7u);
  for (const auto& event : events) EXPECT_FALSE(event.preview);
}

TEST(Progress, ListenerMayCancelItsJob) {
  std::weak_ptr<Job> job;
  const auto gate = std::make_shared<Gate>();
  SubmitOptions options;
  options.listener = [&](const ProgressEvent& event) {
    if (event.kind == Kind::kStep && event.progress.steps_done == 2) job.lock()->cancel();
  };
  EngineFixture fixture(gated(gate));
  const auto owner = fixture.engine->submit(fake_request(1, 50), options);
  job = owner;
  gate->open();
  EXPECT_EQ(result_of(*owner).code(), ErrorCode::kCancelled);
  fixture.engine->drain();
  EXPECT_EQ(steps_of(*fixture.record, 1), 2);
}

TEST(JobStats, AddUp) {
  const auto gate = std::make_shared<Gate>();
  EngineFixture fixture(gated(gate, {.max_generations_per_step = 2, .step_time = std::chrono::milliseconds(2)}));
  const auto one = fixture.engine->submit(fake_request(1, 5)), two = fixture.engine->submit(fake_request(2, 5));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_GE(one->stats().queued_seconds, 0.02);
  EXPECT_EQ(one->stats().run_seconds, 0);
  gate->open();
  EXPECT_FALSE(result_of(*one).error);
  EXPECT_FALSE(result_of(*two).error);
  const auto stats = one->stats();
  EXPECT_GE(stats.queued_seconds, 0.02);
  EXPECT_GE(stats.device_seconds, 0.009) << "five steps, half of four milliseconds each";
  EXPECT_LE(stats.device_seconds, stats.run_seconds);
  EXPECT_EQ(stats.max_rows, 4) << "two images with guidance";
}

class CountingObserver : public EngineObserver {
 public:
  void on_queue(std::size_t waiting, std::size_t drawing) override { count("unended", waiting + drawing, true); }
  void on_started(const std::string& model, double) override { count("started " + model); }
  void on_ended(const std::string&, RequestOutcome outcome, double, std::int64_t images) override {
    count("ended " + std::to_string(static_cast<int>(outcome)));
    count("images", static_cast<std::size_t>(images));
  }
  void on_rejected(const std::string&, RejectionReason reason) override {
    count("refused " + std::to_string(static_cast<int>(reason)));
  }
  void on_begin(const ModelLabels&, std::int64_t images, double) override {
    count("begun", static_cast<std::size_t>(images));
  }
  void on_step(const ModelLabels&, int rows, int images, double) override {
    count("rows", static_cast<std::size_t>(rows));
    count("image steps", static_cast<std::size_t>(images));
  }
  void on_decode(const ModelLabels&, double) override { count("decodes"); }
  void on_batch_shrunk(const ModelLabels&, int images) override { count("shrunk", static_cast<std::size_t>(images)); }
  void on_loaded(const ModelLabels& at, double, std::int64_t) override { count("loaded " + at.model); }
  void on_load_failed(const ModelLabels& at, double) override { count("not loaded " + at.model); }
  void on_unloaded(const ModelLabels& at, std::int64_t, bool evicted) override {
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

TEST(Observer, ReceivesEveryEvent) {
  const auto observer = std::make_shared<CountingObserver>();
  const auto gate = std::make_shared<Gate>();
  {
    EngineFixture fixture(gated(gate, {.max_generations_per_step = 2, .step_memory = 1, .faults = {{.seed = 50}}}),
                          {.max_waiting = 4, .observer = observer});
    const auto drawn = fixture.engine->submit(fake_request(1, 3, 2));
    const auto cancelled = fixture.engine->submit(fake_request(10, 3)),
               failed = fixture.engine->submit(fake_request(50, 3));
    const auto late = fixture.engine->submit(fake_request(20, 3), {.timeout = std::chrono::milliseconds(1)});
    EXPECT_THROW(fixture.engine->submit(fake_request(30)), Error);
    cancelled->cancel();
    EXPECT_EQ(result_of(*late).code(), ErrorCode::kDeadlineExceeded);
    gate->open();
    EXPECT_FALSE(result_of(*drawn).error);
    EXPECT_TRUE(result_of(*failed).error);
    fixture.engine->drain();
    EXPECT_THROW(fixture.engine->submit(fake_request(30)), Error);
  }
  const auto outcome = [](RequestOutcome which) { return "ended " + std::to_string(static_cast<int>(which)); };
  const auto reason = [](RejectionReason which) { return "refused " + std::to_string(static_cast<int>(which)); };
  auto counts = observer->counts();
  EXPECT_EQ(counts[outcome(RequestOutcome::kSucceeded)], 1u);
  EXPECT_EQ(counts[outcome(RequestOutcome::kCancelled)], 1u);
  EXPECT_EQ(counts[outcome(RequestOutcome::kTimedOut)], 1u);
  EXPECT_EQ(counts[outcome(RequestOutcome::kFailed)], 1u);
  EXPECT_EQ(counts[reason(RejectionReason::kQueueFull)], 1u);
  EXPECT_EQ(counts[reason(RejectionReason::kDraining)], 1u);
  EXPECT_EQ(counts["images"], 2u);
  EXPECT_EQ(counts["unended"], 0u);
  EXPECT_EQ(counts["started fake"], 2u);
  EXPECT_EQ(counts["begun"], 3u);
  EXPECT_EQ(counts["image steps"], 6u);
  EXPECT_EQ(counts["rows"], 12u);
  EXPECT_EQ(counts["decodes"], 2u);
  EXPECT_EQ(counts["shrunk"], 1u);
  EXPECT_EQ(counts["loaded fake"], 1u);
}

}  // namespace
}  // namespace easel::testing
