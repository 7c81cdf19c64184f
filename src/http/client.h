// What a handler may ask of whoever sent a request.
#pragma once

#include <cstddef>
#include <string>

namespace easel::http {

/// Used by one thread at a time.
class Client {
 public:
  virtual ~Client() = default;
  /// The request's body, whole. Call at most once.
  /// @throws HttpFailure  413: over the limit, not read further; 400: broken framing, or it ended early; 408: too slow
  virtual std::string read_body(std::size_t max_bytes) = 0;
  /// The address it calls from, without a port, e.g. "192.0.2.7" or "2001:db8::7". The same for its whole life.
  virtual const std::string& address() const = 0;
  /// True when no answer can reach the client any more.
  virtual bool gone() = 0;
};

}  // namespace easel::http
