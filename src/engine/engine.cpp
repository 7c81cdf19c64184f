#include "easel/engine.h"

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <thread>
#include <utility>

#include "core/text.h"
#include "engine/loop.h"
#include "engine/queue.h"
#include "engine/residency.h"

namespace easel {

namespace {

void check(const EngineOptions& options) {
  if (options.max_waiting < 1 || options.max_active_generations < 1 || options.max_steps_in_flight < 1) {
    throw Error(ErrorCode::kInvalidArgument,
                concat("max_waiting, max_active_generations and max_steps_in_flight are ", options.max_waiting, ", ",
                       options.max_active_generations, " and ", options.max_steps_in_flight, ", expected 1 or more"));
  }
}

void check(const SubmitOptions& options) {
  constexpr int kHighestPriority = 3;
  if (!(options.share > 0) || !std::isfinite(options.share)) {
    throw Error(ErrorCode::kInvalidArgument,
                concat("the share of an account is ", options.share, ", expected above 0"));
  }
  if (std::abs(options.priority) > kHighestPriority) {
    throw Error(ErrorCode::kInvalidArgument, concat("priority is ", options.priority, ", expected -3 to 3"),
                "priority");
  }
  if ((options.timeout && options.timeout->count() <= 0) || options.preview_every < 0) {
    throw Error(ErrorCode::kInvalidArgument, "timeout must be above 0, and preview_every not below");
  }
}

/// Joins caller and loop: a queue that both know, and a thread.
class LoopEngine final : public Engine {
 public:
  LoopEngine(std::vector<ServedModel> models, const EngineOptions& options)
      : residency_(std::move(models)),
        queue_(std::make_shared<Queue>(
            Queue::Limits{.max_unended = options.max_waiting, .max_seconds = options.max_waiting_seconds},
            std::chrono::steady_clock::now, options.observer)),
        loop_(*queue_, residency_, options),
        thread_([this] { loop_.run(); }) {}

  ~LoopEngine() override {
    queue_->abort({ErrorCode::kUnavailable, "the server is shutting down", {}});
    thread_.join();
  }

  const std::vector<ModelDescription>& models() const override { return residency_.descriptions(); }
  ModelStatus status(const std::string& id) const override { return residency_.status(id); }

  void load(const std::string& id) override {
    residency_.status(id);  // throws where there is no such model
    if (queue_->closed()) throw Error(ErrorCode::kUnavailable, "the server is shutting down and loads no models");
    residency_.ask_load(id);
    queue_->wake();
  }

  void unload(const std::string& id) override {
    residency_.ask_unload(id);
    queue_->wake();
  }

  using Engine::submit;
  std::shared_ptr<Job> submit(GenerationRequest request, SubmitOptions options) override {
    residency_.status(request.model);  // throws where there is no such model
    if (request.num_images < 1) {
      throw Error(ErrorCode::kInvalidArgument, concat(request.num_images, " pictures were asked for"), "n");
    }
    check(options);
    return queue_->submit(std::move(request), std::move(options), 0);
  }

  double estimated_wait() const override { return queue_->estimated_wait(); }

  using Engine::drain;
  bool drain(std::chrono::milliseconds timeout) override {
    const auto queue = queue_;  // survives a destructor that runs meanwhile
    queue->close();
    if (queue->wait_until_idle(timeout)) return true;
    const bool any = queue->end_all({ErrorCode::kUnavailable, "the server shut down before the request was done", {}});
    queue->wait_until_idle(std::chrono::milliseconds::max());
    return !any;
  }

 private:
  Residency residency_;
  const std::shared_ptr<Queue> queue_;
  Loop loop_;
  std::thread thread_;  // last: uses all of the above
};

}  // namespace

std::unique_ptr<Engine> make_engine(std::vector<ServedModel> models, EngineOptions options) {
  check(options);
  return std::make_unique<LoopEngine>(std::move(models), options);
}

}  // namespace easel
