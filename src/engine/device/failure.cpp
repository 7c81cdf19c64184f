#include "engine/device/failure.h"

#include <exception>
#include <new>

namespace easel {

Failure current_failure() {
  try {
    throw;
  } catch (const Error& error) {
    return {error.code(), error.what(), error.param()};
  } catch (const std::bad_alloc&) {
    return {ErrorCode::kResourceExhausted, "out of memory", {}};
  } catch (const std::exception& error) {
    return {ErrorCode::kInternal, error.what(), {}};
  } catch (...) {
    return {ErrorCode::kInternal, "something was thrown that is not a std::exception", {}};
  }
}

}  // namespace easel
