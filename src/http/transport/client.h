// What a handler needs of the connection that a request came on.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace easel::http {

/// Used by one thread at a time.
class Client {
 public:
  /// Receives a body piece by piece, in order. If it throws, receive_body() throws the same, and the connection ends
  /// after the response. The time that it takes is not the client's.
  using Sink = std::function<void(std::string_view piece)>;

  virtual ~Client() = default;
  /// Receives the request's body. Call receive_body() or read_body(), at most once.
  /// @throws ProtocolError  400: the framing is broken, or the body ended early; 408: it came too slowly; 413: it is
  /// longer
  ///                        than the limit, and was not read further
  virtual void receive_body(std::size_t max_bytes, const Sink& sink) = 0;
  /// As receive_body(), and returns the whole body.
  std::string read_body(std::size_t max_bytes) {
    std::string body;
    receive_body(max_bytes, [&](std::string_view piece) { body += piece; });
    return body;
  }
  /// The address that the client calls from, without a port, e.g. "192.0.2.7" or "2001:db8::7".
  virtual const std::string& address() const = 0;
  /// True when no response can reach the client any more.
  virtual bool gone() = 0;
};

}  // namespace easel::http
