#include "easel/engine.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <exception>
#include <functional>
#include <future>
#include <map>
#include <optional>
#include <set>
#include <thread>
#include <utility>

#include "core/text.h"
#include "engine/device/device_estimates.h"
#include "engine/loop.h"
#include "engine/residency/loader.h"
#include "engine/residency/residency.h"
#include "engine/waiting/policy.h"
#include "engine/waiting/queue.h"

namespace easel {

namespace {

void check(const EngineOptions& options) {
  const std::set<std::string> devices(options.devices.begin(), options.devices.end());
  if (devices.empty() || devices.size() != options.devices.size()) {
    throw Error(ErrorCode::kInvalidArgument,
                concat("the devices are ", join(options.devices), ", expected one or more different names"));
  }
  if (options.max_waiting < 1 || options.max_active_generations < 1 || options.max_steps_in_flight < 1) {
    throw Error(ErrorCode::kInvalidArgument,
                concat("max_waiting, max_active_generations and max_steps_in_flight are ", options.max_waiting, ", ",
                       options.max_active_generations, " and ", options.max_steps_in_flight, ", expected 1 or more"));
  }
  if (!(options.max_waiting_seconds >= 0) || !(options.max_step_seconds >= 0) || options.memory_budget < 0 ||
      options.load_retry.count() < 0 || options.abort_timeout.count() < 0 || options.max_parked_generations < 0 ||
      (options.keep_alive && options.keep_alive->count() < 0)) {
    throw Error(ErrorCode::kInvalidArgument,
                "max_parked_generations, max_waiting_seconds, max_step_seconds, memory_budget, load_retry, "
                "abort_timeout and keep_alive must not be negative");
  }
}

void check(const SubmitOptions& options) {
  if (!(options.share > 0) || !std::isfinite(options.share)) {
    throw Error(ErrorCode::kInvalidArgument,
                concat("the share of an account is ", options.share, ", expected above 0"));
  }
  if (options.priority < -kMaxPriority || options.priority > kMaxPriority) {
    throw Error(ErrorCode::kInvalidArgument,
                concat("priority is ", options.priority, ", expected ", -kMaxPriority, " to ", kMaxPriority),
                "priority");
  }
  if ((options.timeout && options.timeout->count() <= 0) ||
      (options.queue_timeout && options.queue_timeout->count() <= 0) || options.preview_every < 0) {
    throw Error(ErrorCode::kInvalidArgument,
                "timeout and queue_timeout must be above 0, and preview_every must not be negative");
  }
  if (options.preview_count < 0 || options.preview_count > kMaxPreviewCount) {
    throw Error(ErrorCode::kInvalidArgument, concat("preview_count must be from 0 to ", kMaxPreviewCount));
  }
}

constexpr auto kClock = [] { return std::chrono::steady_clock::now(); };

/// One device: its models, its policy, its loop, and the threads of the loop and the loader.
class DeviceWorker {
 public:
  DeviceWorker(std::size_t index, std::vector<ServedModel> models, Residency::Options rules,
               std::shared_ptr<Queue> queue, DeviceBoard& board, std::shared_ptr<LoadTimes> load_times,
               const EngineOptions& options)
      : queue_(std::move(queue)),
        residency_(std::move(models), std::move(rules),
                   {.run_on_loader = [this](std::function<void()> task) { loader_.run(std::move(task)); },
                    .wake = [queue = queue_] { queue->wake(); },
                    .now = kClock,
                    .observer = options.observer,
                    .load_times = std::move(load_times)}),
        policy_(make_fair_sojourn(options.max_step_seconds)),
        loop_(*queue_, residency_, board, *policy_,
              {.device = index,
               .max_active_generations = options.max_active_generations,
               .max_parked_generations = options.max_parked_generations,
               .max_steps_in_flight = options.max_steps_in_flight},
              kClock, options.observer) {}

  ~DeviceWorker() {
    queue_->abort({ErrorCode::kUnavailable, "the server is shutting down", {}});
    if (thread_.joinable()) thread_.join();
  }

  /// @param prepare_thread  see EngineOptions @throws what it throws
  void start(std::function<void()> prepare_thread) {
    std::promise<void> promise;
    auto prepared = promise.get_future();
    thread_ = std::thread([this, prepare = std::move(prepare_thread), result = std::move(promise)]() mutable {
      try {
        if (prepare) prepare();
      } catch (...) {
        return result.set_exception(std::current_exception());
      }
      result.set_value();
      loop_.run();
    });
    prepared.get();
  }
  Residency& residency() { return residency_; }
  const Residency& residency() const { return residency_; }
  const Activity& activity() const { return loop_.activity(); }

 private:
  const std::shared_ptr<Queue> queue_;
  Residency residency_;
  const std::unique_ptr<Policy> policy_;
  Loop loop_;
  Loader loader_;
  std::thread thread_;  // last: uses all of the above
};

/// The device that each pinned model is pinned to, so that their memory is spread out. The first model counts as pinned
/// here, since it is loaded at the start.
std::vector<std::optional<std::size_t>> pinned_devices(const std::vector<ServedModel>& models, std::size_t devices) {
  std::vector<std::int64_t> bytes(devices, 0);
  std::vector<std::optional<std::size_t>> pinned_to;
  for (const auto& model : models) {
    const bool kept = model.pinned || pinned_to.empty();
    const auto least = std::min_element(bytes.begin(), bytes.end());
    pinned_to.push_back(kept ? std::optional(static_cast<std::size_t>(least - bytes.begin())) : std::nullopt);
    if (kept) *least += model.description.memory_bytes;
  }
  return pinned_to;
}

Residency::Options residency_options(const EngineOptions& options, std::size_t device) {
  const auto& name = options.devices[device];
  const auto estimated = options.estimated_memory_budgets.find(name);
  const bool is_estimated = estimated != options.estimated_memory_budgets.end();
  return {.device = name,
          .load_first_model = device == 0,
          .memory_budget = is_estimated ? estimated->second : options.memory_budget,
          .budget_is_estimated = is_estimated,
          .keep_alive = options.keep_alive,
          .load_retry = options.load_retry};
}

// The better the state, the higher the rank.
int rank(ModelState state) {
  switch (state) {
    case ModelState::kUnloaded:
      return 0;
    case ModelState::kFailed:
      return 1;
    case ModelState::kLoading:
      return 2;
    case ModelState::kReady:
      return 3;
  }
  return 0;
}

/// Connects callers and loops by a queue and a board that all of them share.
class LoopEngine final : public Engine {
 public:
  // Callers give up their models, although each device takes a copy.
  // NOLINTNEXTLINE(performance-unnecessary-value-param)
  LoopEngine(std::vector<ServedModel> models, const EngineOptions& options)
      : stall_after_(options.stall_after),
        abort_timeout_(options.abort_timeout),
        models_(descriptions_of(models)),
        board_(std::make_shared<DeviceBoard>(descriptions_of(models), options.devices.size())),
        queue_(std::make_shared<Queue>(
            Queue::Limits{.max_pending = options.max_waiting, .max_seconds = options.max_waiting_seconds}, board_,
            kClock, options.observer)) {
    for (const auto& model : models) checks_[model.description.id] = model.check;
    const auto load_times = std::make_shared<LoadTimes>();
    const auto pinned_to = pinned_devices(models, options.devices.size());
    for (std::size_t device = 0; device < options.devices.size(); ++device) {
      auto own_models = models;
      for (std::size_t i = 0; i < own_models.size(); ++i)
        own_models[i].pinned = own_models[i].pinned && pinned_to[i] == device;
      devices_.push_back(std::make_unique<DeviceWorker>(
          device, std::move(own_models), residency_options(options, device), queue_, *board_, load_times, options));
    }
    // After all of them have published on the board.
    for (const auto& device : devices_) device->start(options.prepare_thread);
  }

  ModelList models() const override {
    const MutexLock lock(models_mutex_);
    return models_;
  }

  void put(ServedModel model) override {
    {
      const MutexLock lock(models_mutex_);
      std::vector<ModelDescription> listed(models_.begin(), models_.end());
      const auto& id = model.description.id;
      const auto known = std::ranges::find(listed, id, &ModelDescription::id);
      if (known == listed.end()) {
        listed.push_back(model.description);
      } else {
        *known = model.description;
      }
      models_ = ModelList(std::move(listed));
      checks_[id] = model.check;
      board_->put(model.description);
      for (std::size_t i = 0; i < devices_.size(); ++i) {
        auto there = model;
        there.pinned = model.pinned && i == 0;
        devices_[i]->residency().put(std::move(there));
      }
    }
    queue_->wake();
  }

  void remove(const std::string& id) override {
    {
      const MutexLock lock(models_mutex_);
      std::vector<ModelDescription> listed(models_.begin(), models_.end());
      if (std::erase_if(listed, [&](const auto& model) { return model.id == id; }) == 0) throw ModelIds::unknown(id);
      if (listed.empty()) {
        throw Error(ErrorCode::kInvalidArgument, concat("\"", id, "\" is the only model and cannot be removed"),
                    "model");
      }
      models_ = ModelList(std::move(listed));
      checks_.erase(id);
      board_->remove(id);
      for (const auto& device : devices_) device->residency().remove(id);
    }
    queue_->wake();
  }

  ModelStatus status(const std::string& id) const override {
    const auto model = devices_.front()->residency().id_of(id);
    ModelStatus all;
    for (const auto& device : devices_) {
      const auto there = device->residency().status(model);
      all.devices.push_back({.device = device->residency().device(),
                             .state = there.state,
                             .memory_bytes = there.memory_bytes,
                             .loading_progress = there.loading_progress,
                             .failure = there.failure});
      if (rank(there.state) > rank(all.state)) {
        all.state = there.state;
        all.failure = there.failure;
      }
      all.memory_bytes += there.memory_bytes;
      all.pinned = all.pinned || there.pinned;
      all.loading_progress = std::max(all.loading_progress, there.loading_progress);
      all.last_used = std::max(all.last_used, there.last_used);
    }
    return all;
  }

  void load(const std::string& id) override {
    const auto model = devices_.front()->residency().id_of(id);
    if (queue_->closed()) throw Error(ErrorCode::kUnavailable, "the server is shutting down and loads no models");
    std::size_t soonest = 0;
    for (std::size_t i = 1; i < devices_.size(); ++i) {
      if (board_->ready_in(i, id) < board_->ready_in(soonest, id)) soonest = i;
    }
    devices_[soonest]->residency().request_load(model);
    queue_->wake();
  }

  void unload(const std::string& id) override {
    for (const auto& device : devices_) device->residency().request_unload(devices_.front()->residency().id_of(id));
    queue_->wake();
  }

  using Engine::submit;
  std::shared_ptr<Job> submit(GenerationRequest request, SubmitOptions options) override {
    const auto look = check_of(request.model);  // throws if there is no such model
    if (request.num_images < 1) {
      throw Error(ErrorCode::kInvalidArgument, concat(request.num_images, " images were asked for"), "n");
    }
    check(options);
    if (look) look(request);
    return queue_->submit(std::move(request), std::move(options));
  }

  RetryAdvice advise_retry(const SubmitOptions& options) override { return queue_->advise_retry(options); }

  std::vector<StalledLoop> stalled_loops() const override {
    std::vector<StalledLoop> stalled;
    if (!stall_after_) return stalled;
    for (const auto& device : devices_) {
      const auto busy = device->activity().busy();
      if (!busy || busy->seconds <= std::chrono::duration<double>(*stall_after_).count()) continue;
      stalled.push_back({.device = device->residency().device(), .seconds = busy->seconds, .work = busy->what});
    }
    return stalled;
  }

  using Engine::drain;
  bool drain(std::chrono::milliseconds timeout) override {
    const auto queue = queue_;  // outlives this object if it is destroyed meanwhile
    queue->close();
    if (queue->wait_until_idle(timeout)) return true;
    const bool any = queue->end_all({ErrorCode::kUnavailable, "the server shut down before the request was done", {}});
    queue->wait_until_idle(abort_timeout_);
    return !any;
  }

  bool at_rest() const override { return queue_->wait_until_idle(std::chrono::milliseconds(0)); }

  bool all_devices_lost() const override {
    return std::ranges::all_of(devices_, [](const auto& device) { return device->residency().device_lost(); });
  }

 private:
  using RequestCheck = std::function<void(const GenerationRequest&)>;
  RequestCheck check_of(const std::string& model) const {
    const MutexLock lock(models_mutex_);
    const auto found = checks_.find(model);
    if (found == checks_.end()) throw ModelIds::unknown(model);
    return found->second;
  }

  const std::optional<std::chrono::milliseconds> stall_after_;
  const std::chrono::milliseconds abort_timeout_;
  mutable Mutex models_mutex_;  // held while the models of all devices are changed, so that all number them alike
  ModelList models_ EASEL_GUARDED_BY(models_mutex_);
  std::map<std::string, RequestCheck> checks_ EASEL_GUARDED_BY(models_mutex_);  // by model
  const std::shared_ptr<DeviceBoard> board_;
  const std::shared_ptr<Queue> queue_;
  std::vector<std::unique_ptr<DeviceWorker>> devices_;  // last: they use all of the above
};

}  // namespace

// NOLINTNEXTLINE(performance-unnecessary-value-param): a caller may move both
std::unique_ptr<Engine> make_engine(std::vector<ServedModel> models, EngineOptions options) {
  check(options);
  return std::make_unique<LoopEngine>(std::move(models), options);
}

}  // namespace easel
