// What answers the requests that the transport has read.
#pragma once

#include <optional>

#include "http/transport/client.h"
#include "http/transport/message.h"
#include "http/transport/protocol_error.h"
#include "http/transport/request_head.h"

namespace easel::http {

/// Called from many threads at once.
class RequestHandler {
 public:
  virtual ~RequestHandler() = default;
  /// @return none when the client has left and nobody reads the response
  virtual std::optional<Response> handle(const RequestHead& head, Client& client) = 0;
  /// The response to a request whose head could not be read.
  virtual Response refuse(const ProtocolError& error) = 0;
};

}  // namespace easel::http
