// How often a piece of code calls operators of libtorch.
#pragma once

#include <ATen/record_function.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace easel::testing {

/// The product of a linear layer, whose weight may be packed.
inline const std::vector<std::string> kLinear{"aten::linear", "mkldnn::_linear_pointwise"};

/// Counts the calls that its thread makes while this lives. A thread can have one at a time.
class OperatorCounter {
 public:
  /// @param names  of the operators, with their namespaces
  explicit OperatorCounter(std::vector<std::string> names) {
    state() = {.names = std::move(names)};
    handle_ = at::addThreadLocalCallback(
        at::RecordFunctionCallback(&OperatorCounter::on_call).scopes({at::RecordScope::FUNCTION}));
  }
  ~OperatorCounter() { at::removeCallback(handle_); }
  OperatorCounter(const OperatorCounter&) = delete;
  OperatorCounter& operator=(const OperatorCounter&) = delete;

  std::int64_t count() const { return state().calls; }

 private:
  struct State {
    std::vector<std::string> names;
    std::int64_t calls = 0;
  };
  static State& state() {
    thread_local State own;
    return own;
  }
  static std::unique_ptr<at::ObserverContext> on_call(const at::RecordFunction& function) {
    auto& [names, calls] = state();
    if (std::ranges::find(names, std::string_view(function.name())) != names.end()) ++calls;
    return nullptr;
  }

  at::CallbackHandle handle_;
};

}  // namespace easel::testing
