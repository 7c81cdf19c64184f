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
  /// True when no answer can reach the client any more.
  virtual bool gone() = 0;
};

}  // namespace easel::http
