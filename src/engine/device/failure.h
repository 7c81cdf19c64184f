// An exception as a value that can cross threads.
#pragma once

#include <string>

#include "easel/error.h"

namespace easel {

/// An Error as plain data: copies share nothing, so it may be read by any thread.
struct Failure {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
  std::string param;

  Error to_error() const { return Error(code, message, param); }
};

/// The exception being handled: an Error as it is, std::bad_alloc as kResourceExhausted, anything else as kInternal.
/// Only inside a catch block.
Failure current_failure();

}  // namespace easel
