#include "http/support/scripted_engine.h"

#include <chrono>
#include <functional>
#include <utility>

#include "core/text.h"

namespace easel::test {

class ScriptedEngine::HeldJob : public Job {
 public:
  HeldJob(ScriptedEngine& engine, GenerationRequest request) : engine_(engine), request_(std::move(request)) {}

  bool wait_for(std::chrono::milliseconds timeout) override {
    std::unique_lock lock(engine_.mutex_);
    ++engine_.held_;
    const bool ended = engine_.changed_.wait_for(lock, timeout, [this] { return !engine_.holding_ || is_cancelled_; });
    --engine_.held_;
    return ended;
  }

  std::vector<GeneratedImage> take() override {
    const std::lock_guard lock(engine_.mutex_);
    if (is_cancelled_) throw Error(ErrorCode::kCancelled, "given up");
    if (engine_.generation_error_) throw *engine_.generation_error_;
    std::vector<GeneratedImage> images;
    for (std::int64_t i = 0; i < request_.num_images; ++i) images.push_back(fake_image(request_, i));
    return images;
  }

  void cancel() override {
    const std::lock_guard lock(engine_.mutex_);
    if (!std::exchange(is_cancelled_, true)) ++engine_.cancelled_;
    engine_.changed_.notify_all();
  }

  StepProgress progress() const override { return {}; }
  QueuePosition position() const override {
    const std::lock_guard lock(engine_.mutex_);
    return engine_.position_;
  }
  JobStats stats() const override {
    const std::lock_guard lock(engine_.mutex_);
    return engine_.stats_;
  }

 private:
  ScriptedEngine& engine_;
  const GenerationRequest request_;
  bool is_cancelled_ = false;  // guarded by the engine's mutex_
};

GeneratedImage fake_image(const GenerationRequest& request, std::int64_t index) {
  GeneratedImage generated;
  generated.seed = request.seed + static_cast<std::uint64_t>(index);
  generated.image.width = request.hires ? request.hires->width : request.width.value_or(24);
  generated.image.height = request.hires ? request.hires->height : request.height.value_or(16);
  auto key = concat(request.prompt, "|", request.negative_prompt, "|", generated.seed);
  for (const auto& image : request.more_images) key.append(image->pixels.begin(), image->pixels.end());
  const auto colour = std::hash<std::string>()(key);
  for (int i = 0; i < generated.image.width * generated.image.height * 3; ++i) {
    generated.image.pixels.push_back(static_cast<std::uint8_t>(colour >> (i % 3 * 8)));
  }
  return generated;
}

ModelDescription tiny_model(const std::string& id) {
  ModelDescription model;
  model.id = id;
  model.family = "stable-diffusion";
  model.licence = "test-licence";
  model.created = 1700000000;
  model.native_width = 24;
  model.native_height = 16;
  model.default_steps = 8;
  model.default_scheduler = "ddim";
  model.schedulers = {"ddim", "euler"};
  model.max_clip_skip = 2;
  model.eta_schedulers = {"ddim"};
  return model;
}

void ScriptedEngine::fail_submit(std::optional<Error> error) {
  const std::lock_guard lock(mutex_);
  submit_error_ = std::move(error);
}

void ScriptedEngine::fail_generation(std::optional<Error> error) {
  const std::lock_guard lock(mutex_);
  generation_error_ = std::move(error);
}

void ScriptedEngine::hold(bool held) {
  const std::lock_guard lock(mutex_);
  holding_ = held;
  changed_.notify_all();
}

void ScriptedEngine::set_status(ModelStatus status) {
  const std::lock_guard lock(mutex_);
  status_ = std::move(status);
}

void ScriptedEngine::report(const ProgressEvent& event) {
  const auto listener = last_options().listener;
  if (listener) listener(event);
}

void ScriptedEngine::fail_load(std::optional<Error> error) {
  const std::lock_guard lock(mutex_);
  load_error_ = std::move(error);
}

void ScriptedEngine::set_position(QueuePosition position) {
  const std::lock_guard lock(mutex_);
  position_ = position;
}

void ScriptedEngine::set_stats(JobStats stats) {
  const std::lock_guard lock(mutex_);
  stats_ = stats;
}

void ScriptedEngine::set_estimated_wait(double seconds) {
  const std::lock_guard lock(mutex_);
  estimated_wait_ = seconds;
}

SubmitOptions ScriptedEngine::last_options() const {
  const std::lock_guard lock(mutex_);
  return last_options_;
}

std::vector<std::string> ScriptedEngine::controls() const {
  const std::lock_guard lock(mutex_);
  return controls_;
}

ModelStatus ScriptedEngine::status(const std::string& id) const {
  const std::lock_guard lock(mutex_);
  return status_;
}

void ScriptedEngine::load(const std::string& id) {
  const std::lock_guard lock(mutex_);
  if (load_error_) throw *load_error_;
  controls_.push_back("load " + id);
}

void ScriptedEngine::unload(const std::string& id) {
  const std::lock_guard lock(mutex_);
  if (load_error_) throw *load_error_;
  controls_.push_back("unload " + id);
}

void ScriptedEngine::remove(const std::string& id) {
  const std::lock_guard lock(mutex_);
  controls_.push_back("remove " + id);
}

void ScriptedEngine::set_stalled(std::vector<StalledLoop> loops) {
  const std::lock_guard lock(mutex_);
  stalled_ = std::move(loops);
}

std::vector<StalledLoop> ScriptedEngine::stalled_loops() const {
  const std::lock_guard lock(mutex_);
  return stalled_;
}

RetryAdvice ScriptedEngine::advise_retry(const SubmitOptions&) {
  const std::lock_guard lock(mutex_);
  return {.estimated_wait = estimated_wait_, .retry_after = estimated_wait_};
}

std::vector<GenerationRequest> ScriptedEngine::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

std::size_t ScriptedEngine::held() const {
  const std::lock_guard lock(mutex_);
  return held_;
}

std::size_t ScriptedEngine::cancelled() const {
  const std::lock_guard lock(mutex_);
  return cancelled_;
}

std::shared_ptr<Job> ScriptedEngine::submit(GenerationRequest request, SubmitOptions options) {
  const std::lock_guard lock(mutex_);
  if (submit_error_) throw *submit_error_;
  requests_.push_back(request);
  last_options_ = std::move(options);
  return std::make_shared<HeldJob>(*this, std::move(request));
}

}  // namespace easel::test
