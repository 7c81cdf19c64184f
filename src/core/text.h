// Text for messages, and the small notations that several layers read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace easel {

/// Programs that read JSON numbers as floating point know all integers up to this one exactly.
inline constexpr std::uint64_t kLargestExactJsonInteger = std::uint64_t{1} << 53;

/// All arguments as operator<< prints them, one after the other.
template <class... Args>
std::string concat(const Args&... args) {
  std::ostringstream out;
  (out << ... << args);
  return out.str();
}

/// "a, b, c"
inline std::string join(const std::vector<std::string>& parts, const std::string& separator = ", ") {
  std::string joined;
  for (const auto& part : parts) {
    if (!joined.empty()) joined += separator;
    joined += part;
  }
  return joined;
}

/// Whether the byte continues a UTF-8 sequence, i.e. is of the form 10xxxxxx.
inline bool is_utf8_continuation(char byte) {
  return (static_cast<unsigned char>(byte) & 0xC0) == 0x80;
}

/// Number of code points of valid UTF-8.
std::size_t count_code_points(std::string_view text);

/// (width, height) of "WIDTHxHEIGHT" in pixels. None for any other text: both numbers have one to five decimal digits
/// and no sign, space or leading zero.
std::optional<std::pair<int, int>> parse_size(std::string_view text);

/// `text` itself, or its first 60 bytes or fewer and "..."; never cut within a UTF-8 sequence.
std::string shortened(std::string_view text);

/// shortened(text) in double quotes, for messages.
std::string quote(std::string_view text);

/// `text` with each control character (bytes below 0x20, and DEL) written as "\x1b". Text from a file or a request can
/// then neither start a new line nor send commands to a terminal.
std::string escape_control_characters(std::string_view text);

}  // namespace easel
