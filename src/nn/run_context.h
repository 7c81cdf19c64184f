// What a model call carries besides tensors.
#pragma once

#include "easel/error.h"
#include "easel/pipeline.h"

namespace easel {

/// Passed down every block of a model call. Per-row adapters will live here too.
struct RunContext {
  const StopPredicate* stop = nullptr;  ///< may be null or empty: never stops

  /// Called between blocks. @throws Error(kCancelled)
  void poll() const {
    if (stop != nullptr && *stop && (*stop)()) throw Error(ErrorCode::kCancelled, "cancelled");
  }
};

}  // namespace easel
