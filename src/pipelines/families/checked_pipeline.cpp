#include "pipelines/families/checked_pipeline.h"

#include <ATen/ops/isfinite.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <exception>
#include <optional>
#include <utility>

#include "core/text.h"
#include "tensor/free_memory.h"
#include "tensor/torch_errors.h"
#include "weights/format/message_format.h"

namespace easel {
namespace {

/// Describes the first stored tensor that holds infinities or NaN, if any.
std::optional<std::string> find_non_finite_tensor(const TensorStore& store) {
  for (const auto& name : store.names()) {
    const auto* info = store.find(name);
    // isfinite is not implemented for 8-bit floats.
    if (!c10::isFloatingType(info->dtype) || c10::elementSize(info->dtype) < 2) continue;
    const bool finite = at::isfinite(store.read(name)).all().item<bool>();
    store.release(name);
    if (!finite) return concat(store.where(), ": ", quote_name(name), " holds infinities or NaN");
  }
  return std::nullopt;
}

/// Looks for infinities and NaN in all stored weights. Reads them once, after the first image that failed.
class NonFiniteWeightCheck {
 public:
  NonFiniteWeightCheck(std::shared_ptr<const CheckpointSource> source, std::vector<Component> components)
      : source_(std::move(source)), components_(std::move(components)) {}

  /// @throws Error(kCorruptData)  names the tensor, if there is one
  void throw_if_non_finite() {
    const c10::InferenceMode inference;
    if (!searched_) fault_ = with_torch_errors([&] { return find(); });
    searched_ = true;
    if (fault_) throw Error(ErrorCode::kCorruptData, *fault_);
  }

 private:
  std::optional<std::string> find() const {
    for (const auto& component : components_) {
      if (auto fault = find_non_finite_tensor(*source_->weights(component))) return fault;
    }
    return std::nullopt;
  }

  std::shared_ptr<const CheckpointSource> source_;
  std::vector<Component> components_;
  bool searched_ = false;
  std::optional<std::string> fault_;
};

class CheckedStep : public StepTicket {
 public:
  CheckedStep(std::unique_ptr<StepTicket> ticket, NonFiniteWeightCheck& weight_check)
      : ticket_(std::move(ticket)), weight_check_(weight_check) {}
  bool done() const override { return ticket_->done(); }
  void wait() override { ticket_->wait(); }
  std::vector<bool> finite() override {
    auto finite = ticket_->finite();
    // With infinite weights no row is finite.
    if (std::find(finite.begin(), finite.end(), true) == finite.end()) weight_check_.throw_if_non_finite();
    return finite;
  }

 private:
  std::unique_ptr<StepTicket> ticket_;
  NonFiniteWeightCheck& weight_check_;
};

class CheckedFinish : public FinishTicket {
 public:
  CheckedFinish(std::unique_ptr<FinishTicket> ticket, NonFiniteWeightCheck& weight_check, const MappedFiles& files,
                c10::Device device)
      : ticket_(std::move(ticket)), weight_check_(weight_check), files_(files), device_(device) {}
  bool done() const override { return ticket_->done(); }
  void wait() override { ticket_->wait(); }
  std::vector<GeneratedImage> take() override {
    const c10::OptionalDeviceGuard guard(device_);  // it may decode again
    std::vector<GeneratedImage> images;
    try {
      images = ticket_->take();
    } catch (const Error& e) {
      files_.check_unchanged();
      if (e.code() == ErrorCode::kCorruptData) weight_check_.throw_if_non_finite();
      throw;
    }
    files_.check_unchanged();
    return images;
  }

 private:
  std::unique_ptr<FinishTicket> ticket_;
  NonFiniteWeightCheck& weight_check_;
  const MappedFiles& files_;
  c10::Device device_;
};

/// Waits for the work that the thread has given to a device. The memory of weights belongs to the stream that they were
/// loaded on, so it could be used anew while this thread's stream still reads it.
void finish_work(c10::Device device) noexcept {
  if (device.is_cpu()) return;
  try {
    c10::impl::VirtualGuardImpl(device.type()).getStream(device).synchronize();
  } catch (const std::exception&) {
    // A lost device does nothing any more.
  }
}

/// Also makes the pipeline's device the thread's current one for each call: libtorch chooses some kernels by the
/// properties of the current device, whichever device the tensors are on.
class CheckedPipeline : public Pipeline {
 public:
  CheckedPipeline(std::unique_ptr<Pipeline> pipeline, NonFiniteWeightCheck weight_check,
                  std::shared_ptr<const MappedFiles> files, c10::Device device)
      : pipeline_(std::move(pipeline)),
        weight_check_(std::move(weight_check)),
        files_(std::move(files)),
        device_(device) {}
  ~CheckedPipeline() override {
    const c10::OptionalDeviceGuard guard(device_);
    finish_work(device_);
    pipeline_.reset();
    release_cached_memory(device_);
  }

  const ModelDescription& description() const override { return pipeline_->description(); }
  std::unique_ptr<BeginTicket> begin(const GenerationRequest& request, const StopPredicate& stop) override {
    const c10::OptionalDeviceGuard guard(device_);
    auto ticket = pipeline_->begin(request, stop);
    files_->check_unchanged();
    return ticket;
  }
  std::string batch_key(const Generation& generation) const override { return pipeline_->batch_key(generation); }
  std::unique_ptr<StepTicket> step(std::span<Generation* const> generations, const StopPredicate& stop) override {
    const c10::OptionalDeviceGuard guard(device_);
    files_->check_unchanged();
    return std::make_unique<CheckedStep>(pipeline_->step(generations, stop), weight_check_);
  }
  std::optional<Image> preview(const Generation& generation) override {
    const c10::OptionalDeviceGuard guard(device_);
    return pipeline_->preview(generation);
  }
  std::unique_ptr<FinishTicket> finish(std::span<Generation* const> generations, const StopPredicate& stop) override {
    const c10::OptionalDeviceGuard guard(device_);
    return std::make_unique<CheckedFinish>(pipeline_->finish(generations, stop), weight_check_, *files_, device_);
  }
  int max_generations_per_step() const override { return pipeline_->max_generations_per_step(); }

 private:
  std::unique_ptr<Pipeline> pipeline_;
  NonFiniteWeightCheck weight_check_;
  std::shared_ptr<const MappedFiles> files_;
  c10::Device device_;
};

}  // namespace

std::unique_ptr<Pipeline> with_checks(std::unique_ptr<Pipeline> pipeline, const Checkpoint& folder,
                                      std::shared_ptr<const MappedFiles> files, c10::Device device) {
  std::vector<Component> components;
  for (const auto component : {Component::kUnet, Component::kTransformer, Component::kVae, Component::kTextEncoder,
                               Component::kTextEncoder2, Component::kTextEncoder3}) {
    if (folder.components.contains(component)) components.push_back(component);
  }
  return std::make_unique<CheckedPipeline>(
      std::move(pipeline), NonFiniteWeightCheck(folder.source, std::move(components)), std::move(files), device);
}

}  // namespace easel
