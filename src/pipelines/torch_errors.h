// The boundary where torch's exceptions become easel's.
#pragma once

#include <c10/util/Exception.h>

#include <new>
#include <string>

#include "easel/error.h"

namespace easel {

/// Runs `work`; out-of-memory becomes kResourceExhausted, any other torch error kInternal.
template <class Work>
auto with_torch_errors(Work&& work) -> decltype(work()) {
  try {
    return work();
  } catch (const c10::OutOfMemoryError& e) {
    throw Error(ErrorCode::kResourceExhausted, std::string("out of device memory: ") + e.what_without_backtrace());
  } catch (const c10::Error& e) {
    const std::string message = e.what_without_backtrace();
    // The CPU allocator has no exception type of its own.
    const bool memory = message.find("can't allocate memory") != std::string::npos;
    throw Error(memory ? ErrorCode::kResourceExhausted : ErrorCode::kInternal, message);
  } catch (const std::bad_alloc&) {
    throw Error(ErrorCode::kResourceExhausted, "out of host memory");
  }
}

}  // namespace easel
