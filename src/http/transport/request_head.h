// The head of an HTTP/1.x request, read strictly.
//
// A lenient reader in front of or behind another server is how requests are smuggled, so what RFC 9112 lets a server
// refuse is refused: bare line feeds, folded lines, spaces before a colon, and any doubt about the body's length.
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
  std::string path;  ///< of the target, still percent-encoded, without query; "*" for OPTIONS *
  bool http_1_0 = false;
  Headers headers;
  std::string host;              ///< authority asked for; empty when an HTTP/1.0 client named none
  std::uint64_t body_bytes = 0;  ///< as declared; 0 when chunked
  bool chunked = false;
  bool expects_continue = false;
  bool keep_alive = true;

  bool has_body() const { return chunked || body_bytes > 0; }
};

/// Finds the blank line that ends a head in bytes that arrive piece by piece.
class HeadScanner {
 public:
  /// The head's length, its blank line included, or none when more bytes are needed. Call with the same bytes and more.
  /// @throws ProtocolError  414, 431 or 400 as soon as it is certain; all of them close
  std::optional<std::size_t> find_end(std::string_view bytes);

 private:
  std::size_t scanned_ = 0;
  std::size_t line_start_ = 0;
  bool in_request_line_ = true;
};

/// @param text  what HeadScanner found, blank line included
/// @throws ProtocolError  400, 417, 431, 501 or 505; all of them close, for where the next request begins is unknown
RequestHead parse_request_head(std::string_view text);

}  // namespace easel::http
