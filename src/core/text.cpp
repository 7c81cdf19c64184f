// Text for messages.
#include "core/text.h"

#include <algorithm>

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

}  // namespace easel
