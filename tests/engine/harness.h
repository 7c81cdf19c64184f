// Shared by the engine's tests: an engine with fake pipelines, requests in one line, results as values.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "easel/engine.h"
#include "support/fake_pipeline.h"

namespace easel::testing {

// Far longer than any test takes, so that only a test that hangs reaches it.
constexpr std::chrono::seconds kTestTimeout{60};

inline GenerationRequest fake_request(std::uint64_t seed, std::int64_t steps = 4, std::int64_t num_images = 1) {
  GenerationRequest request;
  request.model = "fake";
  request.prompt = "a fox";
  request.seed = seed;
  request.num_inference_steps = steps;
  request.num_images = num_images;
  return request;
}

inline GenerationRequest fake_request_of(const std::string& model, std::uint64_t seed, std::int64_t steps = 4) {
  auto request = fake_request(seed, steps);
  request.model = model;
  return request;
}

/// How a job ended. Waits for it.
struct JobResult {
  std::vector<GeneratedImage> images;
  std::optional<Error> error;

  ErrorCode code() const { return error ? error->code() : static_cast<ErrorCode>(-1); }
  std::string message() const { return error ? error->what() : "no error"; }
};

inline JobResult result_of(Job& job) {
  if (!job.wait_for(kTestTimeout)) {
    ADD_FAILURE() << "the job did not end";
    std::abort();  // the rest of the test would hang
  }
  try {
    return {job.take(), std::nullopt};
  } catch (const Error& error) {
    return {{}, error};
  }
}

/// Expects the images that the request asked for, in order.
inline void expect_images(const GenerationRequest& request, const JobResult& result) {
  ASSERT_FALSE(result.error) << result.message();
  ASSERT_EQ(result.images.size(), static_cast<std::size_t>(request.num_images));
  for (std::size_t i = 0; i < result.images.size(); ++i) {
    const auto& generated = result.images[i];
    const auto& image = generated.image;
    EXPECT_EQ(generated.seed, request.seed + i);
    EXPECT_FALSE(generated.prompt_cut);
    EXPECT_EQ(image.width, request.width.value_or(64));
    EXPECT_EQ(image.height, request.height.value_or(64));
    const auto color = fake_color(request.prompt, generated.seed);
    EXPECT_TRUE(std::equal(color.begin(), color.end(), image.pixels.begin())) << "image " << i;
  }
}

/// The engine's thread waits here until the test opens the gate, so that the test decides what has arrived by then.
class Gate {
 public:
  void open() { promise_.set_value(); }
  void pass() { future_.wait(); }

 private:
  std::promise<void> promise_;
  std::shared_future<void> future_ = promise_.get_future().share();
};

/// An engine with one fake model, and the record of its calls.
struct EngineFixture {
  explicit EngineFixture(FakeOptions options = {}, EngineOptions engine_options = {})
      : engine(make_engine(served(std::move(options), record), std::move(engine_options))) {}

  static std::vector<ServedModel> served(FakeOptions options, std::shared_ptr<FakeRecord> record) {
    std::vector<ServedModel> models;
    models.push_back(served_fake(std::move(options), std::move(record)));
    return models;
  }

  /// Destroys the engine. Every test checks that nothing is left over and that the pipeline's contract was kept.
  ~EngineFixture() {
    engine.reset();
    EXPECT_EQ(record->live_generations(), 0);
    for (const auto& sentence : record->violations()) ADD_FAILURE() << sentence;
  }

  std::shared_ptr<FakeRecord> record = std::make_shared<FakeRecord>();
  std::unique_ptr<Engine> engine;
};

/// The model loads only when the gate opens, so all requests that are submitted before start together.
inline FakeOptions gated(const std::shared_ptr<Gate>& gate, FakeOptions options = {}) {
  options.on_call = [gate, then = options.on_call](const FakeCall& call) {
    if (call.kind == FakeCallKind::kLoad) gate->pass();
    if (then) then(call);
  };
  return options;
}

/// Number of step calls that included this seed.
inline int steps_of(const FakeRecord& record, std::uint64_t seed) {
  int steps = 0;
  for (const auto& call : record.calls(FakeCallKind::kStep)) {
    steps += static_cast<int>(std::count(call.seeds.begin(), call.seeds.end(), seed));
  }
  return steps;
}

}  // namespace easel::testing
