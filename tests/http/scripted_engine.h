// An engine without a loop, whose every answer the test decides. Thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "easel/engine.h"

namespace easel::test {

/// A flat picture whose colour depends on prompt, negative prompt and seed alone.
GeneratedImage picture_of(const GenerationRequest& request, std::int64_t index);

/// A model as a folder might describe it: 24 x 16 pixels, 8 steps, schedulers ddim and euler, two layers to skip.
ModelDescription tiny_model(const std::string& id);

class ScriptedEngine : public Engine {
 public:
  explicit ScriptedEngine(std::vector<ModelDescription> models = {tiny_model("tiny")}) : models_(std::move(models)) {}

  // What the next submissions meet.
  void fail_submit(std::optional<Error> error);
  void fail_drawing(std::optional<Error> error);
  /// Jobs end only once released. Whoever is held stays so until then, or until cancelled.
  void hold(bool held);
  void set_state(ModelState state) { state_ = state; }

  std::vector<GenerationRequest> requests() const;
  std::size_t held() const;       ///< jobs that wait
  std::size_t cancelled() const;  ///< jobs given up

  const std::vector<ModelDescription>& models() const override { return models_; }
  ModelStatus status(const std::string& id) const override { return {.state = state_}; }
  void load(const std::string& id) override {}
  void unload(const std::string& id) override {}
  std::shared_ptr<Job> submit(GenerationRequest request, SubmitOptions options) override;
  double estimated_wait() const override { return 1; }
  bool drain(std::chrono::milliseconds timeout) override { return true; }

 private:
  class HeldJob;

  const std::vector<ModelDescription> models_;
  std::atomic<ModelState> state_ = ModelState::kReady;
  mutable std::mutex mutex_;  // guards all below
  mutable std::condition_variable changed_;
  bool holding_ = false;
  std::size_t held_ = 0;
  std::size_t cancelled_ = 0;
  std::optional<Error> submit_error_;
  std::optional<Error> drawing_error_;
  std::vector<GenerationRequest> requests_;
};

}  // namespace easel::test
