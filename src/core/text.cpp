#include "core/text.h"

#include <algorithm>
#include <charconv>

namespace easel {
namespace {

constexpr std::size_t kMaxQuotedBytes = 60;

}  // namespace

std::size_t count_code_points(std::string_view text) {
  return text.size() - static_cast<std::size_t>(std::count_if(text.begin(), text.end(), is_utf8_continuation));
}

std::string shortened(std::string_view text) {
  if (text.size() <= kMaxQuotedBytes) return std::string(text);
  auto end = kMaxQuotedBytes;
  while (end > 0 && is_utf8_continuation(text[end])) --end;
  return concat(text.substr(0, end), "...");
}

std::string quote(std::string_view text) {
  return concat("\"", shortened(text), "\"");
}

std::string escape_control_characters(std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string escaped;
  escaped.reserve(text.size());
  for (const unsigned char c : text) {
    if (c >= 0x20 && c != 0x7f) {
      escaped += static_cast<char>(c);
    } else {
      escaped += {'\\', 'x', kHex[c >> 4], kHex[c & 15]};
    }
  }
  return escaped;
}

std::optional<std::pair<int, int>> parse_size(std::string_view text) {
  int width = 0, height = 0;
  const char* end = text.data() + text.size();
  const auto x = std::from_chars(text.data(), end, width);
  const bool complete = x.ptr != end && *x.ptr == 'x' && std::from_chars(x.ptr + 1, end, height).ptr == end;
  if (!complete || width <= 0 || height <= 0) return std::nullopt;
  return std::pair{width, height};
}

}  // namespace easel
