// How a long computation is asked to stop.
#pragma once

#include <functional>

namespace easel {

/// Polled between the blocks of a long call; when it returns true, the call gives up with Error(kCancelled). It must be
/// cheap, and it is called on the thread that makes the long call. Empty: the call runs to its end.
using StopPredicate = std::function<bool()>;

}  // namespace easel
