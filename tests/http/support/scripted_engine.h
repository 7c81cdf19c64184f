// An engine without a loop: the test decides every result. Thread-safe.
#pragma once

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

/// A flat image whose colour depends on prompt, negative prompt, seed and GenerationRequest::more_images only.
GeneratedImage fake_image(const GenerationRequest& request, std::int64_t index);

/// A model as a folder might describe it: 24 x 16 pixels, 8 steps, schedulers ddim and euler, two layers to skip.
ModelDescription tiny_model(const std::string& id);

class ScriptedEngine : public Engine {
 public:
  explicit ScriptedEngine(std::vector<ModelDescription> models = {tiny_model("tiny")}) : models_(std::move(models)) {}

  // What happens to the next submissions.
  void fail_submit(std::optional<Error> error);
  void fail_generation(std::optional<Error> error);
  /// While held, jobs do not end unless they are cancelled.
  void hold(bool held);
  void set_state(ModelState state) { set_status({.state = state}); }
  void set_stalled(std::vector<StalledLoop> loops);
  /// Sets the state of every model.
  void set_status(ModelStatus status);
  /// Sends an event to the listener of the latest request.
  void report(const ProgressEvent& event);
  void fail_load(std::optional<Error> error);
  /// What jobs report as their statistics, and the engine as its estimated wait.
  void set_position(QueuePosition position);
  void set_stats(JobStats stats);
  void set_estimated_wait(double seconds);

  std::vector<GenerationRequest> requests() const;
  SubmitOptions last_options() const;         ///< of the latest request
  std::vector<std::string> controls() const;  ///< "load ID", "unload ID" and "remove ID", as asked for
  std::size_t held() const;                   ///< jobs that wait
  std::size_t cancelled() const;              ///< jobs cancelled

  ModelList models() const override { return models_; }
  ModelStatus status(const std::string& id) const override;
  void load(const std::string& id) override;
  void unload(const std::string& id) override;
  void remove(const std::string& id) override;  ///< noted only: models() does not change
  std::shared_ptr<Job> submit(GenerationRequest request, SubmitOptions options) override;
  RetryAdvice advise_retry(const SubmitOptions& options) override;
  std::vector<StalledLoop> stalled_loops() const override;
  bool drain(std::chrono::milliseconds timeout) override { return true; }

 private:
  class HeldJob;

  const ModelList models_;
  mutable std::mutex mutex_;  // guards all below
  mutable std::condition_variable changed_;
  bool holding_ = false;
  std::size_t held_ = 0;
  std::size_t cancelled_ = 0;
  std::optional<Error> submit_error_;
  std::optional<Error> generation_error_;
  std::optional<Error> load_error_;
  std::vector<GenerationRequest> requests_;
  SubmitOptions last_options_;
  std::vector<std::string> controls_;
  ModelStatus status_{.state = ModelState::kReady};
  QueuePosition position_;
  JobStats stats_;
  std::vector<StalledLoop> stalled_;
  double estimated_wait_ = 1;
};

}  // namespace easel::test
