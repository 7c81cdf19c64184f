// Loops over all compute threads.
#pragma once

#include <c10/util/FunctionRef.h>

#include <cstdint>

namespace easel {

/// Calls `body` with disjoint ranges that cover [begin, end), on the threads that libtorch computes with
/// (at::get_num_threads()); within such a loop, or with one thread, on the calling thread only. Returns when all calls
/// have returned, and rethrows an exception of one of them. Thread-safe.
///
/// To be used in place of at::parallel_for, which is a template that runs on one thread only unless the file that uses
/// it is compiled with OpenMP.
/// @param grain  a range is at least this long, if the whole is; at least 1
void parallel_for(std::int64_t begin, std::int64_t end, std::int64_t grain,
                  c10::function_ref<void(std::int64_t, std::int64_t)> body);

}  // namespace easel
