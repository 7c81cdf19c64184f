// The threads that compute on a CPU.
#pragma once

#include "easel/engine.h"

namespace easel {

/// Makes these threads for the calling thread, which libtorch would otherwise do in the first operation, where libgomp
/// ends the process if it cannot make one. Each thread that calls libtorch's operations has threads of its own, until
/// it ends.
/// @throws Error(kUnavailable)  the system gives too few threads; the message says which limit to raise
void make_compute_threads();

/// Sets their number, and checks that the system gives so many. Makes none: as soon as there are more of them in the
/// process than processors, libgomp lets all of them sleep as soon as they wait, which makes small images slower. Call
/// it once, before any operation of libtorch.
/// @param count   0: as many as libtorch chooses, one per core
/// @throws as make_compute_threads()
void set_compute_threads(int count);

/// Makes each load of the model run on a thread of its own, which ends with the load, and with it the threads that
/// computed for it. A load fails with the error of make_compute_threads() where there are too few.
void load_on_own_thread(ServedModel& model);

}  // namespace easel
