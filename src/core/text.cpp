// Text for messages, and from users.
#include "core/text.h"

#include <algorithm>
#include <charconv>

namespace easel {
namespace {

constexpr std::size_t kMaxQuotedBytes = 60;

// Of an image in pixels; 0 where the text is not a number of the form that parse_size() asks for.
int parse_edge(std::string_view digits) {
  constexpr std::size_t kMaxDigits = 5;
  int edge = 0;
  if (digits.empty() || digits.size() > kMaxDigits || digits.front() == '0') return 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), edge);
  return error == std::errc() && end == digits.data() + digits.size() ? edge : 0;
}

}  // namespace

std::size_t count_code_points(std::string_view text) {
  return text.size() - static_cast<std::size_t>(std::count_if(text.begin(), text.end(), is_utf8_continuation));
}

std::optional<std::pair<int, int>> parse_size(std::string_view text) {
  const auto x = text.find('x');
  if (x == std::string_view::npos) return std::nullopt;
  const std::pair size(parse_edge(text.substr(0, x)), parse_edge(text.substr(x + 1)));
  if (size.first <= 0 || size.second <= 0) return std::nullopt;
  return size;
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

}  // namespace easel
