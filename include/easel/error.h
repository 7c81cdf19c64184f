// The one exception type of easel, with codes that know no protocol.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace easel {

/// What kind of failure it is. `http/http_error` alone maps these to HTTP statuses.
enum class ErrorCode {
  kInvalidArgument,    ///< the caller asked for something outside the contract
  kNotFound,           ///< a model, file or folder that is not there
  kUnsupported,        ///< well-formed, but easel does not do it
  kCorruptData,        ///< a checkpoint or other file that contradicts itself
  kResourceExhausted,  ///< queue full, out of memory
  kUnavailable,        ///< loading or shutting down
  kDeadlineExceeded,   ///< it took longer than it may
  kCancelled,          ///< nobody waits for it any more
  kInternal,           ///< a bug, or a device that failed
};

/// Printable name, e.g. "invalid_argument". Thread-safe.
const char* to_string(ErrorCode code);

/// Says what went wrong, where, what was found and what was expected, in one sentence for a person.
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  /// @param param  name of the request field at fault, as the client wrote it; empty when there is none
  Error(ErrorCode code, const std::string& message, std::string param)
      : std::runtime_error(message), code_(code), param_(std::move(param)) {}

  ErrorCode code() const { return code_; }
  const std::string& param() const { return param_; }

 private:
  ErrorCode code_;
  std::string param_;
};

}  // namespace easel
