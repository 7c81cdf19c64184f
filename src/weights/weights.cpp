#include "weights/weights.h"

#include <ATen/ops/zeros.h>

#include <algorithm>
#include <optional>
#include <set>

#include "core/text.h"
#include "easel/error.h"
#include "weights/message.h"

namespace easel {
namespace {

constexpr std::size_t kMostFaultsShown = 20;

/// What is wrong with a stored tensor; none when it will do.
std::optional<std::string> fault_of(const std::string& name, const TensorInfo* stored, at::IntArrayRef shape) {
  if (stored == nullptr) return name_text(name) + " is missing";
  if (at::IntArrayRef(stored->shape) != shape) {
    return concat(name_text(name), " is ", shape_text(stored->shape), " in ", stored->file, ", expected ",
                  shape_text(shape));
  }
  if (!c10::isFloatingType(stored->dtype)) {
    return concat(name_text(name), " is ", dtype_name(stored->dtype), " in ", stored->file,
                  ", expected floating point");
  }
  return std::nullopt;
}

}  // namespace

struct Weights::State {
  std::set<std::string> known;  // taken or skipped
  std::vector<std::string> faults;
};

Weights::Weights(std::shared_ptr<const TensorStore> store, Placement placement)
    : store_(std::move(store)), placement_(placement), state_(std::make_unique<State>()) {}

Weights::~Weights() = default;

at::Tensor Weights::take(const std::string& name, at::IntArrayRef shape) {
  if (!state_->known.insert(name).second) {
    throw Error(ErrorCode::kInternal, concat(store_->where(), ": ", name_text(name), " is taken twice"));
  }
  if (auto fault = fault_of(name, store_->find(name), shape)) {
    state_->faults.push_back(std::move(*fault));
    // One zero seen from everywhere: a config's shapes cannot make us allocate before finish() has its say.
    return at::zeros({}, at::TensorOptions().dtype(placement_.dtype).device(placement_.device)).expand(shape);
  }
  const at::Tensor stored = store_->read(name);
  const at::Tensor placed = stored.to(placement_.device, placement_.dtype);
  // The copy is complete, also on a GPU: from pageable memory `to` returns when it is done.
  if (!placed.is_same(stored)) store_->release(name);
  return placed;
}

void Weights::finish() {
  auto faults = std::move(state_->faults);
  for (const auto& name : store_->names()) {
    if (!state_->known.contains(name)) {
      faults.push_back(concat(name_text(name), " in ", store_->find(name)->file, " belongs to nothing in the model"));
    }
  }
  if (faults.empty()) return;
  const std::size_t shown = std::min(faults.size(), kMostFaultsShown);
  const std::string rest = faults.size() > shown ? concat("; and ", faults.size() - shown, " more") : "";
  faults.resize(shown);
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

void WeightScope::release(const std::string& name) const {
  weights_->store_->release(full(name));
}

void WeightScope::skip(const std::string& name) const {
  weights_->state_->known.insert(full(name));
}

}  // namespace easel
