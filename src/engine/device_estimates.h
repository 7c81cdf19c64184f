// What the queue needs to know of the devices, to place requests on them.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "easel/generation.h"
#include "engine/cost_model.h"

namespace easel {

/// Asked under the queue's lock: must be quick and call neither the queue nor a job. Thread-safe.
class DeviceEstimates {
 public:
  virtual ~DeviceEstimates() = default;
  virtual std::size_t count() const = 0;
  /// Device time that a request would take there, drawn alone. In seconds.
  virtual double seconds_of(std::size_t device, const GenerationRequest& request) const = 0;
  /// Seconds until requests for that model could be begun there, others' drawing left out; infinite where, as things
  /// are, they could not.
  virtual double ready_in(std::size_t device, const std::string& model) const = 0;
};

/// A board on which each device's loop writes how soon its models can be drawn with, and where costs are measured.
class DeviceBoard final : public DeviceEstimates {
 public:
  DeviceBoard(const std::vector<ModelDescription>& models, std::size_t devices);

  std::size_t count() const override { return devices_.size(); }
  double seconds_of(std::size_t device, const GenerationRequest& request) const override;
  double ready_in(std::size_t device, const std::string& model) const override;

  CostModel& costs(std::size_t device) { return devices_[device]->costs; }
  /// @param ready_in  one entry a model
  void publish(std::size_t device, std::vector<double> ready_in);

 private:
  struct Device {
    Device(const std::vector<ModelDescription>& models, CostModel* all) : costs(models, all), ready_in(models.size()) {}
    CostModel costs;
    std::vector<double> ready_in;  // under the mutex
  };
  std::size_t index_of(const std::string& model) const;

  std::vector<std::string> models_;
  CostModel shared_costs_;
  std::vector<std::unique_ptr<Device>> devices_;
  mutable std::mutex mutex_;  // guards what is published
};

}  // namespace easel
