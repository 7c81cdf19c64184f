#include "weights/loading/deferred_weight.h"

namespace easel {

const at::Tensor& DeferredWeight::get() const {
  std::call_once(state_->once, [this] {
    state_->tensor = state_->make();
    state_->make = nullptr;  // it may hold a mapped file
  });
  return state_->tensor;
}

DeferredWeight::DeferredWeight(at::Tensor made) : DeferredWeight(std::function<at::Tensor()>()) {
  std::call_once(state_->once, [&] { state_->tensor = std::move(made); });
}

DeferredWeight DeferredWeight::then(std::function<at::Tensor(const at::Tensor&)> convert) const {
  return DeferredWeight([source = *this, convert = std::move(convert)] { return convert(source.get()); });
}

}  // namespace easel
