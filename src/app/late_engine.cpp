#include "app/late_engine.h"

#include <utility>
#include <vector>

#include "core/text.h"

namespace easel {
namespace {

ModelDescription make_placeholder(const std::string& model) {
  ModelDescription description;
  description.id = model;
  return description;
}

}  // namespace

LateEngine::LateEngine(const std::string& model)
    : placeholder_(std::vector<ModelDescription>{make_placeholder(model)}) {}

bool LateEngine::set(std::unique_ptr<Engine> engine) {
  const MutexLock lock(mutex_);
  if (draining_) return false;
  engine_ = std::move(engine);
  return true;
}

bool LateEngine::is_draining() const {
  const MutexLock lock(mutex_);
  return draining_;
}

Engine* LateEngine::engine() const {
  const MutexLock lock(mutex_);
  return engine_.get();
}

Engine& LateEngine::ready_engine() const {
  auto* ready = engine();
  if (ready == nullptr) {
    throw Error(ErrorCode::kUnavailable, concat("the model ", placeholder_.front().id, " is still being downloaded"));
  }
  return *ready;
}

ModelList LateEngine::models() const {
  const auto* ready = engine();
  return ready == nullptr ? placeholder_ : ready->models();
}

ModelStatus LateEngine::status(const std::string& id) const {
  const auto* ready = engine();
  if (ready != nullptr) return ready->status(id);
  if (id != placeholder_.front().id) throw Error(ErrorCode::kNotFound, concat("there is no model ", id));
  ModelStatus status;
  status.state = ModelState::kLoading;
  return status;
}

void LateEngine::load(const std::string& id) {
  ready_engine().load(id);
}

void LateEngine::unload(const std::string& id) {
  ready_engine().unload(id);
}

void LateEngine::put(ServedModel model) {
  ready_engine().put(std::move(model));
}

void LateEngine::remove(const std::string& id) {
  ready_engine().remove(id);
}

std::shared_ptr<Job> LateEngine::submit(GenerationRequest request, SubmitOptions options) {
  return ready_engine().submit(std::move(request), std::move(options));
}

RetryAdvice LateEngine::advise_retry(const SubmitOptions& options) {
  constexpr double kUnknownSeconds = 10;
  auto* ready = engine();
  if (ready == nullptr) return {.estimated_wait = kUnknownSeconds, .retry_after = kUnknownSeconds};
  return ready->advise_retry(options);
}

std::vector<StalledLoop> LateEngine::stalled_loops() const {
  const auto* ready = engine();
  return ready == nullptr ? std::vector<StalledLoop>() : ready->stalled_loops();
}

bool LateEngine::all_devices_lost() const {
  const auto* ready = engine();
  return ready != nullptr && ready->all_devices_lost();
}

bool LateEngine::at_rest() const {
  const auto* ready = engine();
  return ready == nullptr || ready->at_rest();
}

bool LateEngine::drain(std::chrono::milliseconds timeout) {
  Engine* ready = nullptr;
  {
    const MutexLock lock(mutex_);
    draining_ = true;
    ready = engine_.get();
  }
  return ready == nullptr || ready->drain(timeout);
}

}  // namespace easel
