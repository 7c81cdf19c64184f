// What a model call carries besides tensors.
#pragma once

#include "easel/error.h"
#include "easel/stop.h"

namespace easel {

class AdapterSet;  // nn/adapter_set.h

/// Passed by reference through every block of a model call, which it outlives.
struct RunContext {
  const StopPredicate* stop = nullptr;   ///< may be null or empty, and then never stops the call
  const AdapterSet* adapters = nullptr;  ///< applied to all rows of the call; null: none

  /// Called between blocks. @throws Error(kCancelled)
  void throw_if_cancelled() const {
    if (stop != nullptr && *stop && (*stop)()) throw Error(ErrorCode::kCancelled, "cancelled");
  }
};

}  // namespace easel
