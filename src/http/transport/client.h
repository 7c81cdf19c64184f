// What a handler may ask of whoever sent a request.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace easel::http {

/// Used by one thread at a time.
class Client {
 public:
  /// Takes a body piece by piece, in order. Must not throw: the rest of the body would be taken for the next request.
  using Sink = std::function<void(std::string_view piece)>;

  virtual ~Client() = default;
  /// Receives the request's body. Call one of the two, at most once.
  /// @throws ProtocolError  413: over the limit, not read further; 400: broken framing, or it ended early; 408: too
  /// slow
  virtual void receive_body(std::size_t max_bytes, const Sink& sink) = 0;
  /// The same, whole.
  std::string read_body(std::size_t max_bytes) {
    std::string body;
    receive_body(max_bytes, [&](std::string_view piece) { body += piece; });
    return body;
  }
  /// The address it calls from, without a port, e.g. "192.0.2.7" or "2001:db8::7". The same for its whole life.
  virtual const std::string& address() const = 0;
  /// True when no answer can reach the client any more.
  virtual bool gone() = 0;
};

}  // namespace easel::http
