#include "weights/format/message.h"

#include "core/text.h"

namespace easel {
namespace {

constexpr std::size_t kLongestName = 200;  // bytes; names in real checkpoints stay below 100
constexpr std::size_t kKept = 80;          // of each end of a longer one

/// Control characters escaped: a zero byte would end the message, a line break forge another.
std::string printable(std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string escaped;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7F) {
      escaped += c;
    } else {
      escaped += {'\\', 'x', kHex[byte >> 4], kHex[byte & 0xF]};
    }
  }
  return escaped;
}

}  // namespace

std::string name_text(std::string_view name) {
  if (name.size() <= kLongestName) return concat('`', printable(name), '`');
  std::size_t head = kKept, tail = name.size() - kKept;
  while (head > 0 && is_utf8_continuation(name[head])) --head;
  while (tail < name.size() && is_utf8_continuation(name[tail])) ++tail;
  return concat('`', printable(name.substr(0, head)), "...", printable(name.substr(tail)), "` (", name.size(),
                " bytes)");
}

std::string shape_text(std::span<const std::int64_t> shape) {
  constexpr std::size_t kMostDimensions = 16;
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) text += ", ";
    if (i == kMostDimensions) return concat(text, "...] (", shape.size(), " dimensions)");
    text += std::to_string(shape[i]);
  }
  return text + "]";
}

}  // namespace easel
