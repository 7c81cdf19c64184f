// Conversions between UTF-8 and the encodings of text inside image files.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace easel {

/// UTF-8 as ISO 8859-1; none where a character has no place in it. Invalid UTF-8 has none either.
std::optional<std::string> latin1_from_utf8(std::string_view text);
std::string utf8_from_latin1(std::string_view text);

/// UTF-8 as UTF-16, the high byte first, without a byte order mark. Invalid bytes become U+FFFD.
std::string utf16_from_utf8(std::string_view text);
/// UTF-16 as UTF-8. A byte order mark decides the order of the bytes; without one, it is the order in which more of the
/// high bytes are 0, the high byte first in doubt. Unpaired surrogates become U+FFFD.
std::string utf8_from_utf16(std::string_view text);

}  // namespace easel
