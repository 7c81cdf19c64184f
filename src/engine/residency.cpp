#include "engine/residency.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <set>
#include <utility>

#include "core/log.h"
#include "core/text.h"

namespace easel {

namespace {

// A model waits this many times its own loading time for the room of one that is in demand.
constexpr double kWaitFactor = 2;

}  // namespace

Residency::Residency(std::vector<ServedModel> models, Options options, Dependencies dependencies)
    : options_(options), dependencies_(std::move(dependencies)) {
  if (models.empty()) throw Error(ErrorCode::kInvalidArgument, "no model to serve");
  std::set<std::string> ids;
  for (auto& model : models) {
    if (!ids.insert(model.description.id).second) {
      throw Error(ErrorCode::kInvalidArgument, concat("two models are called \"", model.description.id, "\""));
    }
    descriptions_.push_back(model.description);
    entries_.push_back(std::make_unique<ModelEntry>(ModelEntry{.served = std::move(model)}));
    entries_.back()->status.pinned = entries_.back()->served.pinned;
  }
  for (const auto& entry : entries_) {
    entry->requested = entry->wanted = entry->served.pinned || (options_.load_first_model && entry == entries_.front());
    if (entry->wanted) entry->waiting_since = dependencies_.now();
  }
}

std::size_t Residency::index_of(const std::string& id) const {
  for (std::size_t i = 0; i < descriptions_.size(); ++i) {
    if (descriptions_[i].id == id) return i;
  }
  throw Error(ErrorCode::kNotFound, concat("model \"", id, "\" is not served here"), "model");
}

ModelStatus Residency::status(std::size_t model) const {
  const std::lock_guard lock(mutex_);
  return entries_[model]->status;
}

void Residency::request_load(std::size_t model) {
  const std::lock_guard lock(mutex_);
  entries_[model]->load_requested = true;
  entries_[model]->unload_requested = false;
}

void Residency::request_unload(std::size_t model) {
  const std::lock_guard lock(mutex_);
  entries_[model]->unload_requested = true;
  entries_[model]->load_requested = false;
}

void Residency::update(std::span<const Demand> demand) {
  for (const auto& entry : entries_) entry->just_failed = false;
  apply_load_result();
  apply_requests();
  unload_unneeded(demand);
  update_demand(demand);
  start_next_load(demand);
}

ResidentModel* Residency::find(std::size_t model) {
  auto& entry = *entries_[model];
  return entry.resident && !entry.draining ? &*entry.resident : nullptr;
}

std::optional<Failure> Residency::failure(std::size_t model) const {
  const auto& entry = *entries_[model];
  const bool fresh = entry.just_failed || dependencies_.now() < entry.failed_at + options_.load_retry;
  return fresh ? entry.failure : std::nullopt;
}

void Residency::used(std::size_t model) {
  auto& entry = *entries_[model];
  entry.used_at = dependencies_.now();
  const std::lock_guard lock(mutex_);
  entry.status.last_used = std::chrono::system_clock::now();
}

void Residency::apply_requests() {
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    auto& entry = *entries_[i];
    const std::lock_guard lock(mutex_);
    if (std::exchange(entry.load_requested, false)) {
      entry.requested = true;
      entry.failure.reset();
      if (!entry.draining_for_room) entry.draining = false;
    }
    if (std::exchange(entry.unload_requested, false)) {
      entry.requested = false;
      entry.draining = entry.resident || loading_ == i;
    }
  }
}

void Residency::apply_load_result() {
  std::optional<LoadResult> loaded;
  {
    const std::lock_guard lock(mutex_);
    loaded = std::exchange(loaded_, std::nullopt);
  }
  if (!loaded) return;
  loading_.reset();
  auto& entry = *entries_[loaded->model];
  finish_load(entry, std::move(*loaded));
}

void Residency::finish_load(ModelEntry& entry, LoadResult loaded) {
  entry.load_seconds = seconds_between(entry.loading_since, dependencies_.now());
  const auto bytes = entry.served.description.memory_bytes;
  if (!loaded.failure && !loaded.pipeline) loaded.failure = {ErrorCode::kInternal, "its loader gave nothing", {}};
  if (loaded.failure) return fail(entry, std::move(*loaded.failure));
  try {
    const BatchLimit limit(loaded.pipeline->max_generations_per_step());
    entry.resident.emplace(loaded.model, std::move(loaded.pipeline), limit);
  } catch (...) {
    return fail(entry, current_failure());
  }
  entry.requested = entry.wanted = false;
  entry.waiting_since.reset();
  entry.ready_at = dependencies_.now();
  entry.used_since_load = false;
  set_state(entry, ModelState::kReady);
  used(loaded.model);
  dependencies_.load_times->add(loaded.model, bytes, entry.load_seconds);
  log::info(concat("model ", entry.served.description.id, " is ready on ", options_.device, " after ",
                   entry.load_seconds, " s"));
  if (dependencies_.observer) dependencies_.observer->on_loaded(at(entry), entry.load_seconds, bytes);
}

void Residency::fail(ModelEntry& entry, Failure failure) {
  log::error(
      concat("model ", entry.served.description.id, " cannot be loaded on ", options_.device, ": ", failure.message));
  entry.failure = std::move(failure);
  entry.failed_at = dependencies_.now();
  entry.just_failed = true;
  entry.requested = entry.wanted = entry.draining = entry.draining_for_room = false;
  entry.waiting_since.reset();
  set_state(entry, ModelState::kFailed);
  if (dependencies_.observer) dependencies_.observer->on_load_failed(at(entry), entry.load_seconds);
}

void Residency::update_demand(std::span<const Demand> demand) {
  bool any = loading_.has_value();
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    auto& entry = *entries_[i];
    entry.used_since_load = entry.used_since_load || demand[i].drawing > 0;
    if (entry.resident || loading_ == i) continue;
    entry.wanted = entry.requested || (demand[i].waiting > 0 && !failure(i));
    any = any || entry.wanted;
    if (!entry.wanted) entry.waiting_since.reset();
    if (entry.wanted && !entry.waiting_since) entry.waiting_since = dependencies_.now();
  }
  if (any) return;
  for (const auto& entry : entries_) {  // whoever wanted the room is gone
    if (std::exchange(entry->draining_for_room, false)) entry->draining = false;
  }
}

void Residency::unload_unneeded(std::span<const Demand> demand) {
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    auto& entry = *entries_[i];
    if (!entry.resident || demand[i].drawing > 0) continue;
    if (entry.draining) {
      unload(entry, entry.draining_for_room);
    } else if (keep_alive_expired(entry, demand[i])) {
      unload(entry, /*evicted=*/false);
    }
  }
}

bool Residency::keep_alive_expired(const ModelEntry& entry, const Demand& demand) const {
  if (!options_.keep_alive || entry.served.pinned || demand.waiting + demand.drawing > 0) return false;
  return dependencies_.now() >= entry.used_at + *options_.keep_alive;
}

// The one that has waited longest comes first; while it waits for room, so do the others.
void Residency::start_next_load(std::span<const Demand> demand) {
  while (!loading_) {
    std::optional<std::size_t> next;
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      if (entries_[i]->resident || !entries_[i]->wanted) continue;
      if (!next || *entries_[i]->waiting_since < *entries_[*next]->waiting_since) next = i;
    }
    if (!next) return;
    if (auto failure = never_fits(*next)) {
      fail(*entries_[*next], std::move(*failure));
    } else if (make_room(*next, demand)) {
      start(*next);
    } else {
      return;
    }
  }
}

std::optional<Failure> Residency::never_fits(std::size_t model) const {
  if (options_.memory_budget == 0) return std::nullopt;
  std::int64_t pinned = 0;
  for (const auto& entry : entries_) {
    if (entry->served.pinned && entry != entries_[model]) pinned += entry->served.description.memory_bytes;
  }
  const auto needed = descriptions_[model].memory_bytes;
  if (needed + (entries_[model]->served.pinned ? 0 : pinned) <= options_.memory_budget) return std::nullopt;
  return Failure{ErrorCode::kResourceExhausted,
                 concat("it needs ", needed, " bytes; the memory budget is ", options_.memory_budget,
                        ", of which pinned ", "models have ", pinned),
                 {}};
}

std::int64_t Residency::bytes_held() const {
  std::int64_t bytes = 0;
  for (const auto& entry : entries_) {
    if (entry->resident) bytes += entry->served.description.memory_bytes;
  }
  return bytes;
}

std::vector<std::size_t> Residency::least_recently_used_first() const {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i]->resident && !entries_[i]->served.pinned) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(),
                   [this](std::size_t a, std::size_t b) { return entries_[a]->used_at < entries_[b]->used_at; });
  return order;
}

bool Residency::within_max_wait(const ModelEntry& entry) const {
  return seconds_between(*entry.waiting_since, dependencies_.now()) < kWaitFactor * entry.load_seconds;
}

TimePoint Residency::protected_until(const ModelEntry& entry) const {
  const std::chrono::duration<double> turn(kWaitFactor * entry.load_seconds);
  return entry.ready_at + std::chrono::ceil<TimePoint::duration>(turn);
}

// Of one in demand. Without this, many models that wait for one room would only ever be loaded.
bool Residency::evictable(const ModelEntry& entry) const {
  return entry.draining || (entry.used_since_load && dependencies_.now() >= protected_until(entry));
}

// @return whether there is room now; if not, there will be: models are closing, or patience will run out
bool Residency::make_room(std::size_t model, std::span<const Demand> demand) {
  if (options_.memory_budget == 0) return true;
  const auto needed = descriptions_[model].memory_bytes;
  const auto order = least_recently_used_first();
  for (const auto victim : order) {
    if (bytes_held() + needed <= options_.memory_budget) return true;
    if (demand[victim].waiting + demand[victim].drawing == 0) unload(*entries_[victim], /*evicted=*/true);
  }
  auto held = bytes_held();
  if (held + needed <= options_.memory_budget) return true;
  if (within_max_wait(*entries_[model])) return false;
  for (const auto victim : order) {
    auto& entry = *entries_[victim];
    if (!entry.resident || !evictable(entry) || held + needed <= options_.memory_budget) continue;
    held -= entry.served.description.memory_bytes;
    entry.draining = entry.draining_for_room = true;
    if (demand[victim].drawing == 0) unload(entry, /*evicted=*/true);
  }
  return bytes_held() + needed <= options_.memory_budget;
}

bool Residency::evict_for(std::size_t requester, std::span<const Demand> demand) {
  for (const auto victim : least_recently_used_first()) {
    if (victim == requester || demand[victim].drawing > 0) continue;
    unload(*entries_[victim], /*evicted=*/true);
    return true;
  }
  return false;
}

void Residency::start(std::size_t model) {
  auto& entry = *entries_[model];
  loading_ = model;
  entry.loading_since = dependencies_.now();
  entry.failure.reset();
  set_state(entry, ModelState::kLoading);
  log::info(concat("loading model ", entry.served.description.id, " on ", options_.device));
  dependencies_.run_on_loader([this, model] {
    LoadResult loaded{.model = model, .pipeline = nullptr, .failure = std::nullopt};
    auto& wanted = *entries_[model];
    try {
      if (!wanted.served.load) throw Error(ErrorCode::kInternal, "it has no loader");
      loaded.pipeline = wanted.served.load(options_.device, [this, &wanted](double part) {
        const std::lock_guard lock(mutex_);
        if (wanted.status.state == ModelState::kLoading) wanted.status.loading_progress = std::clamp(part, 0.0, 1.0);
      });
    } catch (...) {
      loaded.failure = current_failure();
    }
    {
      const std::lock_guard lock(mutex_);
      loaded_ = std::move(loaded);
      loaded_changed_.notify_all();
    }
    dependencies_.wake();
  });
}

void Residency::unload(ModelEntry& entry, bool evicted) {
  const auto& description = entry.served.description;
  entry.resident.reset();
  entry.draining = entry.draining_for_room = false;
  set_state(entry, ModelState::kUnloaded);
  log::info(
      concat("model ", description.id, " has left the memory of ", options_.device, evicted ? " to make room" : ""));
  if (dependencies_.observer) dependencies_.observer->on_unloaded(at(entry), description.memory_bytes, evicted);
}

void Residency::set_state(ModelEntry& entry, ModelState state) {
  const std::lock_guard lock(mutex_);
  const bool held = state == ModelState::kLoading || state == ModelState::kReady;
  entry.status.state = state;
  entry.status.memory_bytes = held ? entry.served.description.memory_bytes : 0;
  entry.status.loading_progress = state == ModelState::kReady ? 1 : 0;
  entry.status.failure = state == ModelState::kFailed ? entry.failure->message : "";
}

double Residency::expected_load_seconds(std::size_t model) const {
  return dependencies_.load_times->expected(model, descriptions_[model].memory_bytes);
}

bool Residency::fits_beside_models_in_demand(std::size_t model, std::span<const Demand> demand) const {
  if (options_.memory_budget == 0) return true;
  auto bytes = descriptions_[model].memory_bytes;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    const auto& entry = *entries_[i];
    const bool stays = entry.served.pinned || demand[i].waiting + demand[i].drawing > 0;
    if (i != model && (loading_ == i || (entry.resident && stays))) bytes += entry.served.description.memory_bytes;
  }
  return bytes <= options_.memory_budget;
}

double Residency::ready_in(std::size_t model, std::span<const Demand> demand) const {
  const auto& entry = *entries_[model];
  if (entry.resident && !entry.draining) return 0;
  if (failure(model) || never_fits(model)) return std::numeric_limits<double>::infinity();
  double seconds = expected_load_seconds(model);
  if (!fits_beside_models_in_demand(model, demand)) seconds += kWaitFactor * seconds;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    const auto& other = *entries_[i];
    if (loading_ == i) {
      const auto elapsed = seconds_between(other.loading_since, dependencies_.now());
      const auto left = std::max(0.0, expected_load_seconds(i) - elapsed);
      if (i == model) return left;
      seconds += left;
    } else if (i != model && !other.resident && other.wanted && !(entry.waiting_since < other.waiting_since)) {
      seconds += expected_load_seconds(i);  // it comes first
    }
  }
  return seconds;
}

std::optional<TimePoint> Residency::next_change(std::span<const Demand> demand) const {
  std::optional<TimePoint> next;
  const auto at = [&next](TimePoint time) { next = next ? std::min(*next, time) : time; };
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    const auto& entry = *entries_[i];
    const bool idle = demand[i].waiting + demand[i].drawing == 0;
    if (entry.resident && !idle && protected_until(entry) > dependencies_.now()) at(protected_until(entry));
    if (entry.resident && idle && options_.keep_alive && !entry.served.pinned) at(entry.used_at + *options_.keep_alive);
    if (!entry.resident && entry.wanted && entry.waiting_since) {
      const std::chrono::duration<double> max_wait(kWaitFactor * entry.load_seconds);
      const auto end = *entry.waiting_since + std::chrono::ceil<TimePoint::duration>(max_wait);
      if (end > dependencies_.now()) at(end);
    }
  }
  return next;
}

void Residency::unload_all() {
  std::unique_lock lock(mutex_);
  loaded_changed_.wait(lock, [this] { return !loading_ || loaded_; });
  loaded_.reset();
  for (const auto& entry : entries_) entry->resident.reset();
}

}  // namespace easel
