// What a model call carries besides tensors.
#pragma once

#include <vector>

#include "easel/error.h"
#include "easel/stop.h"

namespace easel {

class AdapterSet;  // nn/adapter_set.h
struct ImageRows;  // nn/prompt_projections.h

/// Passed by reference through every block of a model call, which it outlives.
struct RunContext {
  const StopPredicate* stop = nullptr;   ///< may be null or empty, and then never stops the call
  const AdapterSet* adapters = nullptr;  ///< applied to all rows of the call; null: none
  /// The images that all rows of the call belong to, in order, with what they keep of their prompts. Null: nothing is
  /// kept.
  const std::vector<ImageRows>* images = nullptr;

  /// Called between blocks. @throws Error(kCancelled)
  void throw_if_cancelled() const {
    if (stop != nullptr && *stop && (*stop)()) throw Error(ErrorCode::kCancelled, "cancelled");
  }
};

}  // namespace easel
