#include "easel/engine.h"

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <thread>
#include <utility>

#include "core/text.h"
#include "engine/costs.h"
#include "engine/loader.h"
#include "engine/loop.h"
#include "engine/policy.h"
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
  if (!(options.max_waiting_seconds >= 0) || !(options.max_step_seconds >= 0) || options.memory_budget < 0 ||
      options.load_retry.count() < 0 || (options.keep_alive && options.keep_alive->count() < 0)) {
    throw Error(ErrorCode::kInvalidArgument,
                "max_waiting_seconds, max_step_seconds, memory_budget, load_retry and keep_alive must not be negative");
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

/// Joins caller and loop: a queue that both know, and the threads.
class LoopEngine final : public Engine {
 public:
  LoopEngine(std::vector<ServedModel> models, const EngineOptions& options)
      : queue_(std::make_shared<Queue>(
            Queue::Limits{.max_unended = options.max_waiting, .max_seconds = options.max_waiting_seconds}, kClock,
            options.observer)),
        residency_(std::move(models),
                   {.memory_budget = options.memory_budget,
                    .keep_alive = options.keep_alive,
                    .load_retry = options.load_retry},
                   {.run_elsewhere = [this](std::function<void()> task) { loader_.run(std::move(task)); },
                    .wake = [queue = queue_] { queue->wake(); },
                    .now = kClock,
                    .observer = options.observer}),
        costs_(residency_.descriptions()),
        policy_(make_fair_sojourn(options.max_step_seconds)),
        loop_(*queue_, residency_, costs_, *policy_,
              {.max_active_generations = options.max_active_generations,
               .max_steps_in_flight = options.max_steps_in_flight},
              kClock, options.observer),
        thread_([this] { loop_.run(); }) {}

  ~LoopEngine() override {
    queue_->abort({ErrorCode::kUnavailable, "the server is shutting down", {}});
    thread_.join();
  }

  const std::vector<ModelDescription>& models() const override { return residency_.descriptions(); }
  ModelStatus status(const std::string& id) const override { return residency_.status(residency_.index_of(id)); }

  void load(const std::string& id) override {
    const auto model = residency_.index_of(id);
    if (queue_->closed()) throw Error(ErrorCode::kUnavailable, "the server is shutting down and loads no models");
    residency_.ask_load(model);
    queue_->wake();
  }

  void unload(const std::string& id) override {
    residency_.ask_unload(residency_.index_of(id));
    queue_->wake();
  }

  using Engine::submit;
  std::shared_ptr<Job> submit(GenerationRequest request, SubmitOptions options) override {
    const auto model = residency_.index_of(request.model);
    if (request.num_images < 1) {
      throw Error(ErrorCode::kInvalidArgument, concat(request.num_images, " pictures were asked for"), "n");
    }
    check(options);
    const auto estimate = costs_.of_request(model, request);
    return queue_->submit(std::move(request), std::move(options), estimate);
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
  static constexpr auto kClock = [] { return std::chrono::steady_clock::now(); };

  const std::shared_ptr<Queue> queue_;
  Residency residency_;
  Costs costs_;
  const std::unique_ptr<Policy> policy_;
  Loop loop_;
  Loader loader_;
  std::thread thread_;  // last: uses all of the above
};

}  // namespace

std::unique_ptr<Engine> make_engine(std::vector<ServedModel> models, EngineOptions options) {
  check(options);
  return std::make_unique<LoopEngine>(std::move(models), options);
}

}  // namespace easel
