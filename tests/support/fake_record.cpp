#include <algorithm>
#include <utility>

#include "support/fake_pipeline.h"

namespace easel::testing {

std::vector<FakeCall> FakeRecord::calls() const {
  const std::lock_guard lock(mutex_);
  return calls_;
}

std::vector<FakeCall> FakeRecord::calls(FakeCallKind kind) const {
  auto chosen = calls();
  std::erase_if(chosen, [kind](const FakeCall& call) { return call.kind != kind; });
  return chosen;
}

std::vector<std::string> FakeRecord::violations() const {
  const std::lock_guard lock(mutex_);
  return violations_;
}

int FakeRecord::live_generations() const {
  const std::lock_guard lock(mutex_);
  int all = 0;
  for (const auto& [name, device] : devices_) all += device.live;
  return all;
}

int FakeRecord::max_live_generations() const {
  const std::lock_guard lock(mutex_);
  int most = 0;
  for (const auto& [name, device] : devices_) most = std::max(most, device.max_live);
  return most;
}

int FakeRecord::tickets_in_flight() const {
  const std::lock_guard lock(mutex_);
  int all = 0;
  for (const auto& [name, device] : devices_) all += device.in_flight;
  return all;
}

int FakeRecord::max_tickets_in_flight() const {
  const std::lock_guard lock(mutex_);
  int most = 0;
  for (const auto& [name, device] : devices_) most = std::max(most, device.max_in_flight);
  return most;
}

void FakeRecord::add(FakeCall call) {
  const std::lock_guard lock(mutex_);
  calls_.push_back(std::move(call));
}

void FakeRecord::add_violation(std::string sentence) {
  const std::lock_guard lock(mutex_);
  violations_.push_back(std::move(sentence));
}

void FakeRecord::count_generations(const std::string& device, int change) {
  const std::lock_guard lock(mutex_);
  auto& on = devices_[device];
  on.live += change;
  on.max_live = std::max(on.max_live, on.live);
}

void FakeRecord::count_tickets(const std::string& device, int change) {
  const std::lock_guard lock(mutex_);
  auto& on = devices_[device];
  on.in_flight += change;
  on.max_in_flight = std::max(on.max_in_flight, on.in_flight);
}

void FakeRecord::enter(const std::string& device) {
  const std::lock_guard lock(mutex_);
  if (std::exchange(devices_[device].inside_call, true)) violations_.push_back("two calls at the same time");
}

void FakeRecord::leave(const std::string& device) {
  const std::lock_guard lock(mutex_);
  devices_[device].inside_call = false;
}

std::array<std::uint8_t, 3> fake_color(const std::string& prompt, std::uint64_t seed) {
  std::uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a, then splitmix64's finaliser (Steele et al. 2014)
  for (const unsigned char byte : prompt) hash = (hash ^ byte) * 0x100000001b3u;
  hash += 0x9e3779b97f4a7c15u * (seed + 1);
  hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9u;
  hash = (hash ^ (hash >> 27)) * 0x94d049bb133111ebu;
  hash ^= hash >> 31;
  return {static_cast<std::uint8_t>(hash), static_cast<std::uint8_t>(hash >> 8), static_cast<std::uint8_t>(hash >> 16)};
}

ModelDescription fake_description(const std::string& id) {
  ModelDescription description;
  description.id = id;
  description.family = "fake";
  description.licence = "none needed";
  description.folder = "nowhere";
  description.parameters = 1;
  description.weight_bytes = 4;
  description.memory_bytes = 64;
  description.created = 1700000000;
  description.native_width = 64;
  description.native_height = 64;
  description.default_steps = 4;
  description.default_scheduler = "euler";
  description.schedulers = {"euler", "ddim"};
  description.max_clip_skip = 11;
  return description;
}

}  // namespace easel::testing
