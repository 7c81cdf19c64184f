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
constexpr double kPatience = 2;

}  // namespace

Residency::Residency(std::vector<ServedModel> models, Rules rules, Ports ports)
    : rules_(rules), ports_(std::move(ports)) {
  if (models.empty()) throw Error(ErrorCode::kInvalidArgument, "no model to serve");
  std::set<std::string> ids;
  for (auto& model : models) {
    if (!ids.insert(model.description.id).second) {
      throw Error(ErrorCode::kInvalidArgument, concat("two models are called \"", model.description.id, "\""));
    }
    descriptions_.push_back(model.description);
    entries_.push_back(std::make_unique<Entry>(Entry{.served = std::move(model)}));
    entries_.back()->status.pinned = entries_.back()->served.pinned;
  }
  for (const auto& entry : entries_) {
    entry->asked = entry->wanted = entry->served.pinned || (rules_.loads_first && entry == entries_.front());
    if (entry->wanted) entry->waiting_since = ports_.now();
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

void Residency::ask_load(std::size_t model) {
  const std::lock_guard lock(mutex_);
  entries_[model]->load_asked = true;
  entries_[model]->unload_asked = false;
}

void Residency::ask_unload(std::size_t model) {
  const std::lock_guard lock(mutex_);
  entries_[model]->unload_asked = true;
  entries_[model]->load_asked = false;
}

void Residency::tend(std::span<const Demand> demand) {
  for (const auto& entry : entries_) entry->just_failed = false;
  take_loaded();
  take_wishes();
  free_unwanted(demand);
  note_demand(demand);
  start_next(demand);
}

ResidentModel* Residency::find(std::size_t model) {
  auto& entry = *entries_[model];
  return entry.resident && !entry.closing ? &*entry.resident : nullptr;
}

std::optional<Failure> Residency::failure(std::size_t model) const {
  const auto& entry = *entries_[model];
  const bool fresh = entry.just_failed || ports_.now() < entry.failed_at + rules_.load_retry;
  return fresh ? entry.failure : std::nullopt;
}

void Residency::used(std::size_t model) {
  auto& entry = *entries_[model];
  entry.used_at = ports_.now();
  const std::lock_guard lock(mutex_);
  entry.status.last_used = std::chrono::system_clock::now();
}

void Residency::take_wishes() {
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    auto& entry = *entries_[i];
    const std::lock_guard lock(mutex_);
    if (std::exchange(entry.load_asked, false)) {
      entry.asked = true;
      entry.failure.reset();
      if (!entry.closing_for_room) entry.closing = false;
    }
    if (std::exchange(entry.unload_asked, false)) {
      entry.asked = false;
      entry.closing = entry.resident || loading_ == i;
    }
  }
}

void Residency::take_loaded() {
  std::optional<Loaded> loaded;
  {
    const std::lock_guard lock(mutex_);
    loaded = std::exchange(loaded_, std::nullopt);
  }
  if (!loaded) return;
  loading_.reset();
  auto& entry = *entries_[loaded->model];
  receive(entry, std::move(*loaded));
}

void Residency::receive(Entry& entry, Loaded loaded) {
  entry.load_seconds = seconds_between(entry.loading_since, ports_.now());
  const auto bytes = entry.served.description.memory_bytes;
  if (!loaded.failure && !loaded.pipeline) loaded.failure = {ErrorCode::kInternal, "its loader gave nothing", {}};
  if (loaded.failure) return fail(entry, std::move(*loaded.failure));
  try {
    const BatchLimit limit(loaded.pipeline->max_generations_per_step());
    entry.resident.emplace(loaded.model, std::move(loaded.pipeline), limit);
  } catch (...) {
    return fail(entry, current_failure());
  }
  entry.asked = entry.wanted = false;
  entry.waiting_since.reset();
  entry.ready_at = ports_.now();
  entry.had_its_turn = false;
  set_state(entry, ModelState::kReady);
  used(loaded.model);
  ports_.load_times->add(loaded.model, bytes, entry.load_seconds);
  log::info(concat("model ", entry.served.description.id, " is ready on ", rules_.device, " after ", entry.load_seconds,
                   " s"));
  if (ports_.observer) ports_.observer->on_loaded(at(entry), entry.load_seconds, bytes);
}

void Residency::fail(Entry& entry, Failure failure) {
  log::error(
      concat("model ", entry.served.description.id, " cannot be loaded on ", rules_.device, ": ", failure.message));
  entry.failure = std::move(failure);
  entry.failed_at = ports_.now();
  entry.just_failed = true;
  entry.asked = entry.wanted = entry.closing = entry.closing_for_room = false;
  entry.waiting_since.reset();
  set_state(entry, ModelState::kFailed);
  if (ports_.observer) ports_.observer->on_load_failed(at(entry), entry.load_seconds);
}

void Residency::note_demand(std::span<const Demand> demand) {
  bool any = loading_.has_value();
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    auto& entry = *entries_[i];
    entry.had_its_turn = entry.had_its_turn || demand[i].drawing > 0;
    if (entry.resident || loading_ == i) continue;
    entry.wanted = entry.asked || (demand[i].waiting > 0 && !failure(i));
    any = any || entry.wanted;
    if (!entry.wanted) entry.waiting_since.reset();
    if (entry.wanted && !entry.waiting_since) entry.waiting_since = ports_.now();
  }
  if (any) return;
  for (const auto& entry : entries_) {  // whoever wanted the room is gone
    if (std::exchange(entry->closing_for_room, false)) entry->closing = false;
  }
}

void Residency::free_unwanted(std::span<const Demand> demand) {
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    auto& entry = *entries_[i];
    if (!entry.resident || demand[i].drawing > 0) continue;
    if (entry.closing) {
      unload(entry, entry.closing_for_room);
    } else if (idle_too_long(entry, demand[i])) {
      unload(entry, /*evicted=*/false);
    }
  }
}

bool Residency::idle_too_long(const Entry& entry, const Demand& demand) const {
  if (!rules_.keep_alive || entry.served.pinned || demand.waiting + demand.drawing > 0) return false;
  return ports_.now() >= entry.used_at + *rules_.keep_alive;
}

// The one that has waited longest comes first; while it waits for room, so do the others.
void Residency::start_next(std::span<const Demand> demand) {
  while (!loading_) {
    std::optional<std::size_t> next;
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      if (entries_[i]->resident || !entries_[i]->wanted) continue;
      if (!next || *entries_[i]->waiting_since < *entries_[*next]->waiting_since) next = i;
    }
    if (!next) return;
    if (auto failure = impossible(*next)) {
      fail(*entries_[*next], std::move(*failure));
    } else if (make_room(*next, demand)) {
      start(*next);
    } else {
      return;
    }
  }
}

std::optional<Failure> Residency::impossible(std::size_t model) const {
  if (rules_.memory_budget == 0) return std::nullopt;
  std::int64_t pinned = 0;
  for (const auto& entry : entries_) {
    if (entry->served.pinned && entry != entries_[model]) pinned += entry->served.description.memory_bytes;
  }
  const auto needed = descriptions_[model].memory_bytes;
  if (needed + (entries_[model]->served.pinned ? 0 : pinned) <= rules_.memory_budget) return std::nullopt;
  return Failure{ErrorCode::kResourceExhausted,
                 concat("it needs ", needed, " bytes; the memory budget is ", rules_.memory_budget,
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

std::vector<std::size_t> Residency::by_last_use() const {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i]->resident && !entries_[i]->served.pinned) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(),
                   [this](std::size_t a, std::size_t b) { return entries_[a]->used_at < entries_[b]->used_at; });
  return order;
}

bool Residency::may_wait_longer(const Entry& entry) const {
  return seconds_between(*entry.waiting_since, ports_.now()) < kPatience * entry.load_seconds;
}

TimePoint Residency::end_of_turn(const Entry& entry) const {
  const std::chrono::duration<double> turn(kPatience * entry.load_seconds);
  return entry.ready_at + std::chrono::ceil<TimePoint::duration>(turn);
}

// Of one in demand. Without this, many models that wait for one room would only ever be loaded.
bool Residency::may_be_sent_away(const Entry& entry) const {
  return entry.closing || (entry.had_its_turn && ports_.now() >= end_of_turn(entry));
}

// @return whether there is room now; if not, there will be: models are closing, or patience will run out
bool Residency::make_room(std::size_t model, std::span<const Demand> demand) {
  if (rules_.memory_budget == 0) return true;
  const auto needed = descriptions_[model].memory_bytes;
  const auto order = by_last_use();
  for (const auto victim : order) {
    if (bytes_held() + needed <= rules_.memory_budget) return true;
    if (demand[victim].waiting + demand[victim].drawing == 0) unload(*entries_[victim], /*evicted=*/true);
  }
  auto held = bytes_held();
  if (held + needed <= rules_.memory_budget) return true;
  if (may_wait_longer(*entries_[model])) return false;
  for (const auto victim : order) {
    auto& entry = *entries_[victim];
    if (!entry.resident || !may_be_sent_away(entry) || held + needed <= rules_.memory_budget) continue;
    held -= entry.served.description.memory_bytes;
    entry.closing = entry.closing_for_room = true;
    if (demand[victim].drawing == 0) unload(entry, /*evicted=*/true);
  }
  return bytes_held() + needed <= rules_.memory_budget;
}

bool Residency::evict_for(std::size_t needy, std::span<const Demand> demand) {
  for (const auto victim : by_last_use()) {
    if (victim == needy || demand[victim].drawing > 0) continue;
    unload(*entries_[victim], /*evicted=*/true);
    return true;
  }
  return false;
}

void Residency::start(std::size_t model) {
  auto& entry = *entries_[model];
  loading_ = model;
  entry.loading_since = ports_.now();
  entry.failure.reset();
  set_state(entry, ModelState::kLoading);
  log::info(concat("loading model ", entry.served.description.id, " on ", rules_.device));
  ports_.run_elsewhere([this, model] {
    Loaded loaded{.model = model, .pipeline = nullptr, .failure = std::nullopt};
    auto& entry = *entries_[model];
    try {
      if (!entry.served.load) throw Error(ErrorCode::kInternal, "it has no loader");
      loaded.pipeline = entry.served.load(rules_.device, [this, &entry](double part) {
        const std::lock_guard lock(mutex_);
        if (entry.status.state == ModelState::kLoading) entry.status.loading_progress = std::clamp(part, 0.0, 1.0);
      });
    } catch (...) {
      loaded.failure = current_failure();
    }
    {
      const std::lock_guard lock(mutex_);
      loaded_ = std::move(loaded);
      loaded_changed_.notify_all();
    }
    ports_.wake();
  });
}

void Residency::unload(Entry& entry, bool evicted) {
  const auto& description = entry.served.description;
  entry.resident.reset();
  entry.closing = entry.closing_for_room = false;
  set_state(entry, ModelState::kUnloaded);
  log::info(
      concat("model ", description.id, " has left the memory of ", rules_.device, evicted ? " to make room" : ""));
  if (ports_.observer) ports_.observer->on_unloaded(at(entry), description.memory_bytes, evicted);
}

void Residency::set_state(Entry& entry, ModelState state) {
  const std::lock_guard lock(mutex_);
  const bool held = state == ModelState::kLoading || state == ModelState::kReady;
  entry.status.state = state;
  entry.status.memory_bytes = held ? entry.served.description.memory_bytes : 0;
  entry.status.loading_progress = state == ModelState::kReady ? 1 : 0;
  entry.status.failure = state == ModelState::kFailed ? entry.failure->message : "";
}

double Residency::expected_load_seconds(std::size_t model) const {
  return ports_.load_times->expected(model, descriptions_[model].memory_bytes);
}

bool Residency::fits_without_those_in_demand(std::size_t model, std::span<const Demand> demand) const {
  if (rules_.memory_budget == 0) return true;
  auto bytes = descriptions_[model].memory_bytes;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    const auto& entry = *entries_[i];
    const bool stays = entry.served.pinned || demand[i].waiting + demand[i].drawing > 0;
    if (i != model && (loading_ == i || (entry.resident && stays))) bytes += entry.served.description.memory_bytes;
  }
  return bytes <= rules_.memory_budget;
}

double Residency::ready_in(std::size_t model, std::span<const Demand> demand) const {
  const auto& entry = *entries_[model];
  if (entry.resident && !entry.closing) return 0;
  if (failure(model) || impossible(model)) return std::numeric_limits<double>::infinity();
  double seconds = expected_load_seconds(model);
  if (!fits_without_those_in_demand(model, demand)) seconds += kPatience * seconds;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    const auto& other = *entries_[i];
    if (loading_ == i) {
      const auto elapsed = seconds_between(other.loading_since, ports_.now());
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
    if (entry.resident && !idle && end_of_turn(entry) > ports_.now()) at(end_of_turn(entry));
    if (entry.resident && idle && rules_.keep_alive && !entry.served.pinned) at(entry.used_at + *rules_.keep_alive);
    if (!entry.resident && entry.wanted && entry.waiting_since) {
      const std::chrono::duration<double> patience(kPatience * entry.load_seconds);
      const auto end = *entry.waiting_since + std::chrono::ceil<TimePoint::duration>(patience);
      if (end > ports_.now()) at(end);
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
