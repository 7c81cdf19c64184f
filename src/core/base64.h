// Base64 as RFC 4648 section 4 defines it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace easel {

/// Standard alphabet, padded, no line breaks. Thread-safe.
std::string base64_encode(std::string_view bytes);

/// The bytes of base64 text as base64_encode() writes it; none for any other text. Strict: the padding must be there,
/// characters outside the alphabet (white space included) are refused, and unused bits must be 0. Thread-safe.
std::optional<std::string> base64_decode(std::string_view text);

/// As base64_decode(), for text from people's programs: also with white space anywhere, without the padding, and in the
/// URL-safe alphabet of RFC 4648 section 5; unused bits may have any value. Thread-safe.
std::optional<std::string> base64_decode_any(std::string_view text);

}  // namespace easel
