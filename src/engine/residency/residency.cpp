#include "engine/residency/residency.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "core/log.h"
#include "core/text.h"

namespace easel {

std::vector<ModelDescription> descriptions_of(const std::vector<ServedModel>& models) {
  std::vector<ModelDescription> descriptions;
  for (const auto& model : models) descriptions.push_back(model.description);
  return descriptions;
}

Residency::Residency(std::vector<ServedModel> models, Options options, Dependencies dependencies)
    : options_(std::move(options)), dependencies_(std::move(dependencies)), ids_(descriptions_of(models)) {
  for (auto& model : models) {
    const auto id = ids_.find(model.description.id);
    register_model(id, std::make_shared<const ServedModel>(std::move(model)));
    if (options_.load_first_model && id == 0) entries_.at(id).load_requested(dependencies_.now());
  }
}

void Residency::register_model(ModelId id, std::shared_ptr<const ServedModel> model) {
  auto& entry = entries_[id];
  entry.bytes = model->description.memory_bytes;
  entry.pinned = model->pinned;
  if (model->pinned) entry.load_requested(dependencies_.now());
  {
    const MutexLock lock(status_mutex_);
    statuses_[id].pinned = model->pinned;
  }
  names_[id] = model->description.id;
  served_[id] = std::move(model);
  if (lost_) publish(id, ModelState::kFailed, lost_->message);
}

void Residency::put(ServedModel model) {
  const auto name = model.description.id;
  auto added = std::make_shared<const ServedModel>(std::move(model));
  const MutexLock lock(changes_mutex_);
  const auto replaced = ids_.find_optional(name);
  // Both are posted before the name means the new number, so that the loop knows the number of every request.
  if (replaced) changes_.push_back({*replaced, nullptr});
  changes_.push_back({ids_.put(name), std::move(added)});
}

void Residency::remove(const std::string& name) {
  const MutexLock lock(changes_mutex_);
  if (const auto id = ids_.remove(name)) changes_.push_back({*id, nullptr});
}

void Residency::take_changes() {
  std::vector<Change> changes;
  {
    const MutexLock lock(changes_mutex_);
    changes = std::exchange(changes_, {});
  }
  for (auto& change : changes) {
    if (change.added) {
      register_model(change.id, std::move(change.added));
      continue;
    }
    auto& entry = entries_.at(change.id);
    entry.pinned = false;
    entry.unload_requested();
    removed_.insert(change.id);
  }
  // Requests that still wait for a removed model do not keep it in memory.
  for (const auto id : removed_) {
    if (const auto found = demand_.find(id); found != demand_.end()) found->second.waiting = 0;
  }
}

void Residency::forget_removed() {
  std::erase_if(removed_, [&](ModelId id) {
    const auto& entry = entries_.at(id);
    const bool idle = entry.as<presence::Absent>() != nullptr || entry.as<presence::Failed>() != nullptr;
    if (!idle || demand_for(demand_, id).any()) return false;
    entries_.erase(id);
    served_.erase(id);
    const MutexLock lock(status_mutex_);
    statuses_.erase(id);
    return true;
  });
}

RoomRules Residency::rules() const {
  return {.memory_budget = options_.memory_budget,
          .budget_is_estimated = options_.budget_is_estimated,
          .keep_alive = options_.keep_alive,
          .load_retry = options_.load_retry};
}

ModelStatus Residency::status(ModelId model) const {
  const MutexLock lock(status_mutex_);
  const auto found = statuses_.find(model);
  return found == statuses_.end() ? ModelStatus{} : found->second;
}

void Residency::update(DemandByModel demand) {
  demand_ = std::move(demand);
  for (auto& [id, entry] : entries_) entry.update_began();
  take_load_result();
  // After the result: a load may have failed because the model was removed and its files after it.
  take_changes();
  take_wishes();
  bool acted = !lost_;
  while (acted) {
    const auto now = dependencies_.now();
    for (auto& [id, entry] : entries_) entry.demand_changed(demand_for(demand_, id), now, options_.load_retry);
    acted = execute(plan(entries_, demand_, rules(), now));
  }
  forget_removed();
}

bool Residency::execute(const RoomPlan& plan) {
  for (const auto& [model, evicted] : plan.unload) unload(model, evicted);
  for (const auto model : plan.keep) entries_.at(model).room_not_needed();
  if (plan.refuse) fail(plan.refuse->model, plan.refuse->why);
  for (const auto model : plan.drain) entries_.at(model).room_needed();
  if (plan.load) start_load(*plan.load);
  return plan.asks_for_action();
}

void Residency::take_load_result() {
  auto result = mailbox_.take_result();
  if (!result) return;
  loading_.reset();
  if (result->failure) {
    if (make_room_after(*result)) return;
    if (result->failure->code == ErrorCode::kDeviceLost) lose_device(*result->failure);
    return fail(result->model, std::move(*result->failure));
  }
  if (lost_) return fail(result->model, *lost_);
  succeed(result->model, std::move(result->pipeline));
}

// Estimates of what models need can be too low, and other programs may use the device: a load that runs out of memory
// is tried again each time that another model has made room.
bool Residency::make_room_after(const LoadResult& result) {
  auto& entry = entries_.at(result.model);
  const auto* loading = entry.as<presence::Loading>();
  if (result.failure->code != ErrorCode::kResourceExhausted || !loading || loading->unload_when_loaded) return false;
  if (!evict_for(result.model)) return false;
  log::warning(concat("memory ran out while model ", labels(result.model).model, " was loaded on ", options_.device,
                      "; it is loaded again, since another model has left memory"));
  entry.load_found_no_room();
  publish(result.model, ModelState::kUnloaded);
  return true;
}

void Residency::lose_device(const Failure& why) {
  if (lost_) return;
  lost_ = why;
  log::error(concat(options_.device, " is lost and is not used until the program is started again: ", why.message));
  for (const auto& [id, entry] : entries_) publish(id, ModelState::kFailed, why.message);
  device_lost_ = true;
}

void Residency::take_wishes() {
  for (const auto& [model, wish] : mailbox_.take_wishes()) {
    const auto found = entries_.find(model);
    if (found == entries_.end() || removed_.contains(model)) continue;
    if (wish == ModelWish::kLoad) {
      found->second.load_requested(dependencies_.now());
    } else {
      found->second.unload_requested();
    }
  }
}

std::vector<ModelId> Residency::models() const {
  std::vector<ModelId> ids;
  for (const auto& [id, entry] : entries_) ids.push_back(id);
  return ids;
}

ResidentModel* Residency::find(ModelId model) {
  if (lost_) return nullptr;
  const auto* resident = entries_.at(model).as<presence::Resident>();
  return resident ? resident->model.get() : nullptr;
}

std::optional<Failure> Residency::failure(ModelId model) const {
  if (lost_) return lost_;
  return entries_.at(model).failure(dependencies_.now(), options_.load_retry);
}

void Residency::used(ModelId model) {
  const auto found = entries_.find(model);
  if (found == entries_.end()) return;  // it was removed, and this was its last work
  found->second.used_at = dependencies_.now();
  const MutexLock lock(status_mutex_);
  statuses_.at(model).last_used = std::chrono::system_clock::now();
}

bool Residency::evict_for(ModelId requester) {
  if (lost_) return false;
  const auto victim = model_to_evict_for(requester, entries_, demand_);
  if (victim) unload(*victim, /*evicted=*/true);
  return victim.has_value();
}

double Residency::ready_in(ModelId model) const {
  if (lost_) return std::numeric_limits<double>::infinity();
  return seconds_until_ready(model, entries_, demand_, rules(), *dependencies_.load_times, dependencies_.now());
}

std::optional<TimePoint> Residency::next_change() const {
  if (lost_) return std::nullopt;
  return plan(entries_, demand_, rules(), dependencies_.now()).next_change;
}

void Residency::start_load(ModelId model) {
  entries_.at(model).load_started(dependencies_.now());
  loading_ = model;
  publish(model, ModelState::kLoading);
  log::info(concat("loading model ", labels(model).model, " on ", options_.device));
  dependencies_.run_on_loader([this, model, served = served_.at(model)] {
    mailbox_.post(run_load(model, *served));
    dependencies_.wake();
  });
}

// On the loader's thread.
LoadResult Residency::run_load(ModelId model, const ServedModel& served) {
  LoadResult result{.model = model};
  try {
    if (!served.load) throw Error(ErrorCode::kInternal, "it has no loader");
    result.pipeline = served.load(options_.device, [this, model](double part) {
      const MutexLock lock(status_mutex_);
      auto& status = statuses_[model];
      if (status.state == ModelState::kLoading) status.loading_progress = std::clamp(part, 0.0, 1.0);
    });
    if (!result.pipeline) throw Error(ErrorCode::kInternal, "its loader returned no pipeline");
  } catch (...) {
    result.failure = current_failure();
  }
  return result;
}

void Residency::succeed(ModelId model, std::unique_ptr<Pipeline> pipeline) {
  auto& entry = entries_.at(model);
  try {
    const BatchLimit limit(pipeline->max_generations_per_step());
    entry.load_succeeded(std::make_unique<ResidentModel>(model, std::move(pipeline), limit), dependencies_.now());
  } catch (...) {
    return fail(model, current_failure());
  }
  used(model);  // before it is ready, so that a model which is ready always has a time
  publish(model, ModelState::kReady);
  dependencies_.load_times->add(model, entry.bytes, entry.load_seconds);
  const auto& dtype = served_.at(model)->description.dtype;
  log::info(concat("model ", labels(model).model, " is ready on ", options_.device, dtype.empty() ? "" : " in ", dtype,
                   " after ", entry.load_seconds, " s"));
  if (dependencies_.observer) dependencies_.observer->on_loaded(labels(model), entry.load_seconds, entry.bytes);
}

void Residency::fail(ModelId model, Failure failure) {
  log::error(concat("model ", labels(model).model, " cannot be loaded on ", options_.device, ": ", failure.message));
  publish(model, ModelState::kFailed, failure.message);
  auto& entry = entries_.at(model);
  entry.load_failed(std::move(failure), dependencies_.now());
  if (dependencies_.observer) dependencies_.observer->on_load_failed(labels(model), entry.load_seconds);
}

void Residency::unload(ModelId model, bool evicted) {
  auto& entry = entries_.at(model);
  entry.unloaded(dependencies_.now());
  publish(model, ModelState::kUnloaded);
  log::info(concat("model ", labels(model).model, " has left the memory of ", options_.device,
                   evicted ? " to make room" : ""));
  if (dependencies_.observer) dependencies_.observer->on_unloaded(labels(model), entry.bytes, evicted);
}

void Residency::publish(ModelId model, ModelState state, const std::string& failure) {
  const bool held = state == ModelState::kLoading || state == ModelState::kReady;
  const auto bytes = held ? entries_.at(model).bytes : 0;
  const MutexLock lock(status_mutex_);
  auto& status = statuses_.at(model);
  status.state = state;
  status.memory_bytes = bytes;
  status.loading_progress = state == ModelState::kReady ? 1 : 0;
  status.failure = failure;
}

void Residency::unload_all() {
  if (loading_) mailbox_.wait_for_result();
  loading_.reset();
  for (auto& [id, entry] : entries_) entry.presence = presence::Absent{};
}

}  // namespace easel
