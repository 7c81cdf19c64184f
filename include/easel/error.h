// The one exception type of easel. Its codes belong to no protocol.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace easel {

/// What kind of failure it is. The server translates these to HTTP statuses; nothing else knows about HTTP.
enum class ErrorCode {
  kInvalidArgument,    ///< the caller asked for something outside the contract
  kNotFound,           ///< a model, file or folder does not exist
  kUnsupported,        ///< valid, but easel does not support it
  kCorruptData,        ///< a checkpoint or another file is damaged or contradicts itself
  kResourceExhausted,  ///< a queue is full, or memory has run out
  kUnavailable,        ///< still loading, or shutting down
  kDeadlineExceeded,   ///< the time limit has passed
  kCancelled,          ///< the caller gave the work up
  kInternal,           ///< a bug in easel, or a device that failed
  kDeviceLost,         ///< a device that fails every call until the process is started again
};

/// Printable name, e.g. "invalid_argument". Thread-safe.
const char* to_string(ErrorCode code);

/// The message is one sentence for a person: what went wrong, where, what was found and what was expected.
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  /// @param param  name of the request field that is at fault, as the client wrote it; empty when there is none
  Error(ErrorCode code, const std::string& message, std::string param)
      : std::runtime_error(message), code_(code), param_(std::move(param)) {}

  ErrorCode code() const { return code_; }
  const std::string& param() const { return param_; }

 private:
  ErrorCode code_;
  std::string param_;
};

}  // namespace easel
