#include "weights/format/message_format.h"

#include "core/text.h"

namespace easel {
namespace {

constexpr std::size_t kMaxNameBytes = 200;    // bytes; names in real checkpoints stay below 100
constexpr std::size_t kKeptBytesPerEnd = 80;  // of each end of a longer one

}  // namespace

std::string quote_name(std::string_view name) {
  if (name.size() <= kMaxNameBytes) return concat('`', escape_control_characters(name), '`');
  std::size_t head = kKeptBytesPerEnd, tail = name.size() - kKeptBytesPerEnd;
  while (head > 0 && is_utf8_continuation(name[head])) --head;
  while (tail < name.size() && is_utf8_continuation(name[tail])) ++tail;
  return concat('`', escape_control_characters(name.substr(0, head)), "...",
                escape_control_characters(name.substr(tail)), "` (", name.size(), " bytes)");
}

std::string format_shape(std::span<const std::int64_t> shape) {
  constexpr std::size_t kMaxDimensions = 16;
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) text += ", ";
    if (i == kMaxDimensions) return concat(text, "...] (", shape.size(), " dimensions)");
    text += std::to_string(shape[i]);
  }
  return text + "]";
}

}  // namespace easel
