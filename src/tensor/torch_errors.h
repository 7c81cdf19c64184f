// The boundary where torch's exceptions become easel's.
#pragma once

#include <c10/util/Exception.h>

#include <new>
#include <string>

#include "easel/error.h"

namespace easel {

/// @param detail  what was asked for, in the allocator's words; empty: unknown
inline Error out_of_memory(const std::string& where, const std::string& detail) {
  return {ErrorCode::kResourceExhausted, where + " memory is used up" + (detail.empty() ? "" : " (" + detail + ")") +
                                             "; a smaller image needs less, and `easel models --size WIDTHxHEIGHT` " +
                                             "shows the server's operator how much"};
}

/// Runs `work`; out-of-memory becomes kResourceExhausted, any other torch error kInternal.
template <class Work>
auto with_torch_errors(Work&& work) -> decltype(work()) {
  try {
    return work();
  } catch (const c10::OutOfMemoryError& e) {
    throw out_of_memory("device", e.what_without_backtrace());
  } catch (const c10::Error& e) {
    const std::string message = e.what_without_backtrace();
    // The CPU allocator has no exception type of its own: "[enforce fail at ...] ... you tried to allocate N bytes..."
    const auto detail = message.find("you tried to allocate");
    if (detail == std::string::npos) throw Error(ErrorCode::kInternal, message);
    throw out_of_memory("host", message.substr(detail, message.find('.', detail) - detail));
  } catch (const std::bad_alloc&) {
    throw out_of_memory("host", "");
  }
}

}  // namespace easel
