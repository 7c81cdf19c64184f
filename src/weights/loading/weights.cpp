#include "weights/loading/weights.h"

#include <ATen/ops/zeros.h>
#include <c10/util/accumulate.h>

#include <algorithm>
#include <optional>
#include <set>

#include "core/text.h"
#include "easel/error.h"
#include "weights/format/message_format.h"
#include "weights/loading/load_meter.h"
#include "weights/loading/stored_names.h"

namespace easel {
namespace {

constexpr std::size_t kMaxReportedFaults = 20;

/// What is wrong with a stored tensor; none when it will do.
std::optional<std::string> fault_of(const std::string& name, const TensorInfo* stored, at::IntArrayRef shape) {
  if (stored == nullptr) return quote_name(name) + " is missing";
  if (at::IntArrayRef(stored->shape) != shape) {
    return concat(quote_name(name), " is ", format_shape(stored->shape), " in ", stored->file, ", expected ",
                  format_shape(shape));
  }
  if (!c10::isFloatingType(stored->dtype)) {
    return concat(quote_name(name), " is ", dtype_name(stored->dtype), " in ", stored->file,
                  ", expected floating point");
  }
  return std::nullopt;
}

std::int64_t stored_bytes(const TensorInfo& info) {
  return static_cast<std::int64_t>(c10::elementSize(info.dtype)) * c10::multiply_integers(info.shape);
}

// One zero seen from everywhere: a config's shapes cannot make us allocate before Weights::finish has its say.
at::Tensor placeholder(const Placement& placement, at::IntArrayRef shape) {
  return at::zeros({}, at::TensorOptions().dtype(placement.dtype).device(placement.device)).expand(shape);
}

/// Reads a tensor, places it, and lets its mapped pages go when what was made is a copy.
/// @param format  none: as stored
at::Tensor load_tensor(const TensorStore& store, const std::string& name, const Placement& placement,
                       std::optional<at::MemoryFormat> format) {
  const at::Tensor stored = store.read(name);
  const bool converted = stored.device() != placement.device || stored.scalar_type() != placement.dtype;
  at::Tensor loaded = stored;
  if (converted) {
    loaded = stored.to(stored.options().device(placement.device).dtype(placement.dtype), /*non_blocking=*/false,
                       /*copy=*/false, format);
  } else if (format) {
    loaded = stored.contiguous(*format);  // itself where both layouts are one, as with 1 x 1 kernels
  }
  // The copy is complete, also on a GPU: from pageable memory `to` returns when it is done.
  if (!loaded.is_same(stored)) store.release(name);
  return loaded;
}

}  // namespace

std::string stored_name(const TensorStore& store, const std::string& name) {
  const auto* renaming = dynamic_cast<const RenamingStore*>(&store);
  return renaming == nullptr ? name : renaming->stored_name(name);
}

const at::Tensor& DeferredWeight::get() const {
  std::call_once(state_->once, [this] {
    state_->tensor = state_->make();
    state_->make = nullptr;  // which may hold a mapped file
  });
  return state_->tensor;
}

DeferredWeight::DeferredWeight(at::Tensor made) : DeferredWeight(std::function<at::Tensor()>()) {
  std::call_once(state_->once, [&] { state_->tensor = std::move(made); });
}

struct Weights::State {
  std::set<std::string> known;  // taken or skipped
  std::vector<std::string> faults;
};

Weights::Weights(std::shared_ptr<const TensorStore> store, Placement placement, std::shared_ptr<LayerTable> layers)
    : store_(std::move(store)),
      placement_(placement),
      load_placement_(placement),
      component_(placement.offloader ? placement.offloader->add() : nullptr),
      state_(std::make_unique<State>()),
      layers_(std::move(layers)) {
  if (component_) load_placement_.device = c10::Device(c10::kCPU);
}

Weights::~Weights() = default;

bool Weights::check(const std::string& name, at::IntArrayRef shape) {
  if (!state_->known.insert(name).second) {
    throw Error(ErrorCode::kInternal, concat(store_->where(), ": ", quote_name(name), " is taken twice"));
  }
  auto fault = fault_of(stored_name(*store_, name), store_->find(name), shape);
  auto& faults = state_->faults;
  // One stored tensor can be several of the model's; its fault is told once.
  if (fault && std::find(faults.begin(), faults.end(), *fault) == faults.end()) faults.push_back(*fault);
  return !fault;
}

at::Tensor Weights::take(const std::string& name, at::IntArrayRef shape) {
  if (!check(name, shape)) return placeholder(placement_, shape);
  LoadMeter::add(stored_bytes(*store_->find(name)));
  return offloadable(load_tensor(*store_, name, load_placement_, std::nullopt));
}

DeferredWeight Weights::take_deferred(const std::string& name, at::IntArrayRef shape,
                                      std::optional<at::MemoryFormat> format) {
  if (!check(name, shape)) {
    // Nothing is stored, so nothing says how; half precision is what the storage is for.
    auto missing = placement_;
    if (missing.storage == WeightStorage::kStored) missing.dtype = c10::kHalf;
    return DeferredWeight(placeholder(missing, shape));
  }
  auto where = load_placement_;
  const auto stored = store_->find(name)->dtype;
  if (where.storage == WeightStorage::kStored && placement_.device.is_cpu() &&
      c10::elementSize(stored) < c10::elementSize(where.dtype)) {
    where.dtype = stored;
  }
  DeferredWeight weight([store = store_, name, where, format] { return load_tensor(*store, name, where, format); });
  if (!format || component_ || !placement_.device.is_cpu()) offloadable(weight.get());
  LoadMeter::add(stored_bytes(*store_->find(name)));
  return weight;
}

/// A tensor that goes where the component goes.
at::Tensor Weights::offloadable(at::Tensor tensor) {
  if (component_) component_->add(tensor);
  return tensor;
}

void Weights::finish() {
  auto faults = std::move(state_->faults);
  for (const auto& name : store_->names()) {
    if (!state_->known.contains(name)) {
      faults.push_back(concat(quote_name(stored_name(*store_, name)), " in ", store_->find(name)->file,
                              " belongs to nothing in the model"));
    }
  }
  if (faults.empty()) return;
  const std::size_t reported = std::min(faults.size(), kMaxReportedFaults);
  const std::string rest = faults.size() > reported ? concat("; and ", faults.size() - reported, " more") : "";
  faults.resize(reported);
  throw Error(ErrorCode::kCorruptData, concat(store_->where(), " does not fit its config: ", join(faults, "; "), rest));
}

WeightScope WeightScope::operator/(const std::string& child) const {
  return {*weights_, full(child)};
}

bool WeightScope::has(const std::string& name) const {
  return weights_->store_->find(full(name)) != nullptr;
}

at::Tensor WeightScope::take(const std::string& name, at::IntArrayRef shape) const {
  return weights_->take(full(name), shape);
}

DeferredWeight WeightScope::take_deferred(const std::string& name, at::IntArrayRef shape,
                                          std::optional<at::MemoryFormat> format) const {
  return weights_->take_deferred(full(name), shape, format);
}

void WeightScope::skip(const std::string& name) const {
  weights_->state_->known.insert(full(name));
}

}  // namespace easel
