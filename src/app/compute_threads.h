// The threads that compute on a CPU.
#pragma once

namespace easel {

/// Makes these threads for the calling thread, which libtorch would otherwise do in the first operation, where libgomp
/// ends the process if it cannot make one. Each thread that calls libtorch's operations has threads of its own.
/// @throws Error(kUnavailable)  the system gives too few threads; the message says which limit to raise
void make_compute_threads();

/// Sets their number, and makes them for the calling thread. Call it once, before any operation of libtorch.
/// @param count   0: as many as libtorch chooses, one per core
/// @throws as make_compute_threads()
void set_compute_threads(int count);

}  // namespace easel
