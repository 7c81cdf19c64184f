#include "engine/device_estimates.h"

#include <algorithm>
#include <utility>

#include "core/text.h"
#include "easel/error.h"

namespace easel {

DeviceBoard::DeviceBoard(const std::vector<ModelDescription>& models, std::size_t devices) : shared_costs_(models) {
  for (const auto& model : models) models_.push_back(model.id);
  for (std::size_t i = 0; i < devices; ++i) devices_.push_back(std::make_unique<Device>(models, &shared_costs_));
}

std::size_t DeviceBoard::index_of(const std::string& model) const {
  const auto found = std::find(models_.begin(), models_.end(), model);
  if (found == models_.end()) throw Error(ErrorCode::kNotFound, concat("model \"", model, "\" is not served here"));
  return static_cast<std::size_t>(found - models_.begin());
}

double DeviceBoard::seconds_of(std::size_t device, const GenerationRequest& request) const {
  return devices_[device]->costs.request_seconds(index_of(request.model), request);
}

double DeviceBoard::ready_in(std::size_t device, const std::string& model) const {
  const auto index = index_of(model);
  const std::lock_guard lock(mutex_);
  return devices_[device]->ready_in[index];
}

void DeviceBoard::publish(std::size_t device, std::vector<double> ready_in) {
  const std::lock_guard lock(mutex_);
  devices_[device]->ready_in = std::move(ready_in);
}

}  // namespace easel
