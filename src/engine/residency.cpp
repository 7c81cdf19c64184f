#include "engine/residency.h"

#include <chrono>
#include <set>
#include <utility>

#include "core/log.h"
#include "core/text.h"

namespace easel {

Residency::Residency(std::vector<ServedModel> models) {
  if (models.empty()) throw Error(ErrorCode::kInvalidArgument, "no model to serve");
  std::set<std::string> ids;
  for (auto& model : models) {
    if (!ids.insert(model.description.id).second) {
      throw Error(ErrorCode::kInvalidArgument, concat("two models are called \"", model.description.id, "\""));
    }
    descriptions_.push_back(model.description);
    auto entry = std::make_unique<Entry>();
    entry->served = std::move(model);
    entries_.push_back(std::move(entry));
  }
}

ModelStatus Residency::status(const std::string& id) const {
  const auto& entry = *entries_[index_of(id)];
  const auto state = entry.state.load();
  const bool held = state == ModelState::kReady || state == ModelState::kLoading;
  return {.state = state,
          .memory_bytes = held ? entry.served.description.memory_bytes : 0,
          .pinned = entry.served.pinned,
          .loading_progress = state == ModelState::kReady ? 1.0 : 0.0};
}

void Residency::ask_load(const std::string& id) {
  entries_[index_of(id)]->load_asked = true;
}

void Residency::ask_unload(const std::string& id) {
  entries_[index_of(id)]->unload_asked = true;
}

void Residency::do_as_asked(const std::function<bool(std::size_t)>& in_use) {
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    auto& entry = *entries_[i];
    if (entry.load_asked.exchange(false)) {
      entry.failure.reset();
      try {
        get(descriptions_[i].id);
      } catch (const Error&) {
        // Logged and kept: its requests are told.
      }
    }
    if (in_use(i) || !entry.unload_asked.exchange(false) || !entry.resident) continue;
    entry.resident.reset();
    entry.state = ModelState::kUnloaded;
  }
}

ResidentModel& Residency::get(const std::string& id) {
  const auto index = index_of(id);
  auto& entry = *entries_[index];
  if (entry.failure) throw entry.failure->to_error();
  if (entry.resident) return *entry.resident;

  entry.state = ModelState::kLoading;
  log::info(concat("loading model ", id));
  const auto start = std::chrono::steady_clock::now();
  try {
    entry.resident.emplace(load(index));
  } catch (...) {
    entry.failure = current_failure();
    entry.state = ModelState::kFailed;
    log::error(concat("model ", id, " cannot be loaded: ", entry.failure->message));
    throw entry.failure->to_error();
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  log::info(concat("model ", id, " is ready after ", seconds.count(), " s"));
  entry.state = ModelState::kReady;
  return *entry.resident;
}

void Residency::unload_all() {
  for (const auto& entry : entries_) entry->resident.reset();
}

std::size_t Residency::index_of(const std::string& id) const {
  for (std::size_t i = 0; i < descriptions_.size(); ++i) {
    if (descriptions_[i].id == id) return i;
  }
  throw Error(ErrorCode::kNotFound, concat("model \"", id, "\" is not served here"), "model");
}

ResidentModel Residency::load(std::size_t index) const {
  const auto& served = entries_[index]->served;
  if (!served.load) throw Error(ErrorCode::kInternal, "it has no loader");
  auto pipeline = served.load({});
  if (!pipeline) throw Error(ErrorCode::kInternal, "its loader gave nothing");
  const BatchLimit limit(pipeline->max_generations_per_step());
  return {index, std::move(pipeline), limit};
}

}  // namespace easel
