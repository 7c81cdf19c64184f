#include "engine/device/device_estimates.h"

#include <utility>

namespace easel {

DeviceBoard::DeviceBoard(const std::vector<ModelDescription>& models, std::size_t devices)
    : ids_(models), next_(models.size()), shared_costs_(models), ready_in_(devices) {
  for (std::size_t i = 0; i < devices; ++i) costs_.push_back(std::make_unique<CostModel>(models, &shared_costs_));
}

void DeviceBoard::put(const ModelDescription& model) {
  // The costs know the number before a request can be given it.
  const MutexLock lock(put_mutex_);
  const auto id = next_++;
  shared_costs_.add(id, model);
  for (const auto& costs : costs_) costs->add(id, model);
  ids_.put(model.id);
}

double DeviceBoard::seconds_of(std::size_t device, const GenerationRequest& request) const {
  const auto id = ids_.find_optional(request.model);
  return id ? costs_[device]->request_seconds(*id, request) : 0;
}

double DeviceBoard::ready_in(std::size_t device, const std::string& model) const {
  const auto id = ids_.find_optional(model);
  if (!id) return 0;
  const MutexLock lock(mutex_);
  const auto found = ready_in_[device].find(*id);
  return found == ready_in_[device].end() ? 0 : found->second;
}

void DeviceBoard::publish(std::size_t device, std::map<ModelId, double> ready_in) {
  const MutexLock lock(mutex_);
  ready_in_[device] = std::move(ready_in);
}

}  // namespace easel
