// An engine that exists before its models do.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/mutex.h"
#include "easel/engine.h"

namespace easel {

/// Stands for an engine that is created later, so that the server can listen while models are downloaded. Until set()
/// it has one model, which is loading, and takes no requests. Thread-safe.
class LateEngine final : public Engine {
 public:
  /// @param model  id of the model that it shows until set()
  explicit LateEngine(const std::string& model);

  /// Passes every later call on to `engine`. Call at most once.
  /// @return false if drain() was called before; then `engine` is destroyed
  bool set(std::unique_ptr<Engine> engine);
  /// Whether drain() was called.
  bool is_draining() const;

  ModelList models() const override;
  ModelStatus status(const std::string& id) const override;
  void load(const std::string& id) override;
  void unload(const std::string& id) override;
  void put(ServedModel model) override;
  void remove(const std::string& id) override;
  using Engine::submit;
  std::shared_ptr<Job> submit(GenerationRequest request, SubmitOptions options) override;
  RetryAdvice advise_retry(const SubmitOptions& options) override;
  std::vector<StalledLoop> stalled_loops() const override;
  bool all_devices_lost() const override;
  using Engine::drain;
  bool drain(std::chrono::milliseconds timeout) override;
  bool at_rest() const override;

 private:
  /// Null until set(). It lives as long as this object.
  Engine* engine() const;
  /// @throws Error(kUnavailable)  there is no engine yet
  Engine& ready_engine() const;

  const ModelList placeholder_;
  mutable Mutex mutex_;
  std::unique_ptr<Engine> engine_ EASEL_GUARDED_BY(mutex_);
  bool draining_ EASEL_GUARDED_BY(mutex_) = false;
};

}  // namespace easel
