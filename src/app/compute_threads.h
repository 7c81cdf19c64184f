// The threads that compute on a CPU.
#pragma once

#include <future>
#include <utility>

#include "easel/engine.h"

namespace easel {

/// Makes these threads for the calling thread, which libtorch would otherwise do in the first operation, where libgomp
/// ends the process if it cannot make one. Each thread that calls libtorch's operations has threads of its own, until
/// it ends.
/// @throws Error(kUnavailable)  the system gives too few threads; the message says which limit to raise
void make_compute_threads();

/// Calls `work` on a thread of its own and returns its result, or rethrows its exception. The threads that computed for
/// it end with it: as soon as there are more of them in the process than processors, libgomp lets all of them sleep as
/// soon as they wait, which makes small images slower.
/// @throws std::system_error  the system gives no thread
template <typename Work>
auto on_own_thread(Work&& work) {
  return std::async(std::launch::async, std::forward<Work>(work)).get();
}

/// Sets their number, and checks that the system gives so many. Makes none, for the reason of on_own_thread(). Call it
/// once, before any operation of libtorch.
/// @param count   0: as many as libtorch chooses, one per core
/// @throws as make_compute_threads()
void set_compute_threads(int count);

/// Makes each load of the model run by on_own_thread(). A load fails with the error of make_compute_threads() where
/// there are too few.
void load_on_own_thread(ServedModel& model);

}  // namespace easel
