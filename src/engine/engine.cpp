#include "easel/engine.h"

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

/// Joins caller and loop: a queue that both know, and a thread.
class LoopEngine final : public Engine {
 public:
  LoopEngine(std::vector<ServedModel> models, const EngineOptions& options)
      : residency_(std::move(models)),
        queue_(std::make_shared<Queue>(options.max_waiting)),
        loop_(*queue_, residency_, options),
        thread_([this] { loop_.run(); }) {}

  ~LoopEngine() override {
    queue_->abort({ErrorCode::kUnavailable, "the server is shutting down", {}});
    thread_.join();
  }

  const std::vector<ModelDescription>& models() const override { return residency_.descriptions(); }
  ModelState model_state(const std::string& id) const override { return residency_.state(id); }

  std::shared_ptr<Job> submit(GenerationRequest request) override {
    residency_.state(request.model);  // throws where there is no such model
    if (request.num_images < 1) {
      throw Error(ErrorCode::kInvalidArgument, concat(request.num_images, " pictures were asked for"), "n");
    }
    return queue_->submit(std::move(request));
  }

  void drain() override {
    const auto queue = queue_;  // survives a destructor that runs meanwhile
    queue->close();
    queue->wait_until_idle();
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
