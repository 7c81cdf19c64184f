// A connection that is given bytes instead of a client, to test how bodies are read without a server.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "http/transport/client.h"
#include "http/transport/protocol_error.h"

namespace easel::test {

/// What became of the first request in some bytes.
struct ServedBytes {
  std::optional<std::string> body;             ///< none when it was refused
  std::optional<http::ProtocolError> refusal;  ///< of its head or its body
  std::optional<std::string> next_path;        ///< of the request after it, if there is a complete one
};

/// Serves the bytes as if a client had sent them in pieces of `step` bytes and had then ended its side.
/// @param max_body_bytes  limit of the body
/// @param sink            also receives the body; may throw a ProtocolError
ServedBytes serve_bytes(std::string_view bytes, std::size_t step, std::size_t max_body_bytes,
                        const http::Client::Sink& sink = {});

}  // namespace easel::test
