// What the queue needs to know about the devices in order to assign requests to them.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/mutex.h"
#include "easel/generation.h"
#include "engine/device/cost_model.h"
#include "engine/device/model_ids.h"

namespace easel {

/// The queue calls this while it holds its lock, so every method must be quick and must call neither the queue nor a
/// job. Thread-safe.
class DeviceEstimates {
 public:
  virtual ~DeviceEstimates() = default;
  /// Number of devices.
  virtual std::size_t count() const = 0;
  /// Device time that a request would take on this device with no other request in its steps. In seconds.
  virtual double seconds_of(std::size_t device, const GenerationRequest& request) const = 0;
  /// Seconds until requests for this model could be begun on this device, if no other request were there. Infinite
  /// where the model cannot be loaded as things are.
  virtual double ready_in(std::size_t device, const std::string& model) const = 0;
};

/// Each device's loop publishes here how soon its models are ready, and finds here the cost model of its device.
class DeviceBoard final : public DeviceEstimates {
 public:
  DeviceBoard(const std::vector<ModelDescription>& models, std::size_t devices);

  /// A further model, or a new one in place of the one of that name.
  void put(const ModelDescription& model);
  /// Requests for the model count as no work from now on.
  void remove(const std::string& model) { ids_.remove(model); }

  std::size_t count() const override { return costs_.size(); }
  double seconds_of(std::size_t device, const GenerationRequest& request) const override;
  double ready_in(std::size_t device, const std::string& model) const override;

  CostModel& costs(std::size_t device) { return *costs_[device]; }
  /// @param ready_in  seconds by model; a model that is not in it is ready at once
  void publish(std::size_t device, std::map<ModelId, double> ready_in);

 private:
  ModelIds ids_;
  Mutex put_mutex_;
  ModelId next_ EASEL_GUARDED_BY(put_mutex_);
  CostModel shared_costs_;
  std::vector<std::unique_ptr<CostModel>> costs_;  // by device
  mutable Mutex mutex_;
  std::vector<std::map<ModelId, double>> ready_in_ EASEL_GUARDED_BY(mutex_);  // by device
};

}  // namespace easel
