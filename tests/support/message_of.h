// The messages of errors.
#pragma once

#include <functional>
#include <string>

#include "easel/error.h"

namespace easel {

/// The message of the easel::Error that the call throws; "no error" if it throws none.
inline std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

}  // namespace easel
