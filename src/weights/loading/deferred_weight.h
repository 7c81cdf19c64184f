// A weight that is prepared when it is first used.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <mutex>
#include <utility>

namespace easel {

/// A weight that may be prepared at its first use, in another form than the stored one. A model is then ready before
/// all its gigabytes are, and weights that no request needs are never prepared. Copies share one tensor. Thread-safe.
class DeferredWeight {
 public:
  /// @param make  called at the first use; if it throws, the next use tries again
  explicit DeferredWeight(std::function<at::Tensor()> make) : state_(std::make_shared<State>(std::move(make))) {}
  explicit DeferredWeight(at::Tensor made);

  /// The same weight in another form, made from this one at its first use. This one is released then.
  DeferredWeight then(std::function<at::Tensor(const at::Tensor&)> convert) const;

  /// Must not be written.
  /// @throws Error(kCorruptData)  the file has changed since it was opened; the next call tries again
  const at::Tensor& get() const;

 private:
  struct State {
    explicit State(std::function<at::Tensor()> make_tensor) : make(std::move(make_tensor)) {}
    std::once_flag once;
    std::function<at::Tensor()> make;
    at::Tensor tensor;
  };
  std::shared_ptr<State> state_;
};

}  // namespace easel
