// The boundary where torch's exceptions become easel's.
#pragma once

#include <c10/util/Exception.h>

#include <new>
#include <string>

#include "easel/error.h"

namespace easel {

/// @param detail  what was asked for, in the allocator's words; empty: unknown
Error out_of_memory(const std::string& where, const std::string& detail);

/// The error that an exception of torch stands for: kResourceExhausted where memory has run out, in whatever form the
/// device's libraries say so; kDeviceLost where the device will fail every later call, too; else kInternal.
Error to_error(const c10::Error& error);

/// Runs `work`; exceptions of torch and std::bad_alloc become what to_error() and out_of_memory() return.
template <class Work>
auto with_torch_errors(Work&& work) -> decltype(work()) {
  try {
    return work();
  } catch (const c10::Error& e) {
    throw to_error(e);
  } catch (const std::bad_alloc&) {
    throw out_of_memory("host", "");
  }
}

}  // namespace easel
