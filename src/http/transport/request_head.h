// The head of an HTTP/1.x request, read strictly.
//
// Requests are smuggled where two servers in a row read the same bytes differently. Whatever RFC 9112 allows a server
// to refuse is therefore refused: bare line feeds, folded lines, spaces before a colon, and any doubt about the length
// of the body.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "http/transport/message.h"

namespace easel::http {

inline constexpr std::size_t kMaxTargetBytes = 16 * 1024;  ///< longer: 414
inline constexpr std::size_t kMaxHeadBytes = 48 * 1024;    ///< longer: 431
inline constexpr std::size_t kMaxHeaderFields = 100;       ///< more: 431

struct RequestHead {
  std::string method;
  std::string path;   ///< of the target, still percent-encoded, without query; "*" for OPTIONS *
  std::string query;  ///< of the target, after the "?", still percent-encoded
  bool http_1_0 = false;
  Headers headers;
  std::string host;              ///< the authority asked for; empty when an HTTP/1.0 client sent none
  std::uint64_t body_bytes = 0;  ///< as declared; 0 when chunked
  bool chunked = false;
  bool expects_continue = false;
  bool keep_alive = true;

  bool has_body() const { return chunked || body_bytes > 0; }
};

/// Finds the blank line that ends a head, in bytes that arrive piece by piece. Not thread-safe.
class HeadScanner {
 public:
  /// @param bytes  those of the last call, followed by more
  /// @return the head's length with its blank line; none when more bytes are needed
  /// @throws ProtocolError  400, 414 or 431, as soon as it is certain; all of them end the connection
  std::optional<std::size_t> find_end(std::string_view bytes);

 private:
  std::size_t scanned_ = 0;
  std::size_t line_start_ = 0;
  bool in_request_line_ = true;
};

/// @param text  what HeadScanner found, blank line included
/// @throws ProtocolError  400, 413, 417, 431, 501 or 505; all of them end the connection, because it is not certain
/// where
///                        the next request begins
RequestHead parse_request_head(std::string_view text);

}  // namespace easel::http
