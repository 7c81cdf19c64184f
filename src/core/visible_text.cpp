#include "core/visible_text.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace easel {
namespace {

constexpr char kHex[] = "0123456789abcdef";

struct CodePoint {
  std::uint32_t value = 0;
  std::size_t bytes = 0;  ///< 0: the text is not UTF-8 here
};

/// The code point at the beginning of a text that is not empty.
CodePoint first_code_point(std::string_view text) {
  struct Form {
    std::uint32_t mask, marker, least;
  };
  constexpr std::array<Form, 4> kForms{
      {{0x80, 0x00, 0}, {0xE0, 0xC0, 0x80}, {0xF0, 0xE0, 0x800}, {0xF8, 0xF0, 0x10000}}};
  constexpr std::uint32_t kGreatest = 0x10FFFF;
  const std::uint32_t first = static_cast<unsigned char>(text.front());
  for (std::size_t more = 0; more < kForms.size(); ++more) {
    const auto& form = kForms[more];
    if ((first & form.mask) != form.marker) continue;
    if (text.size() <= more) return {};
    std::uint32_t value = first & ~form.mask;
    for (std::size_t i = 1; i <= more; ++i) {
      const std::uint32_t next = static_cast<unsigned char>(text[i]);
      if ((next & 0xC0) != 0x80) return {};
      value = value << 6 | (next & 0x3F);
    }
    const bool surrogate = value >= 0xD800 && value <= 0xDFFF;
    if (value < form.least || value > kGreatest || surrogate) return {};
    return {value, more + 1};
  }
  return {};
}

bool is_hazardous(std::uint32_t c) {
  const bool control = c < 0x20 || (c >= 0x7F && c <= 0x9F);
  const bool separator = c == 0x2028 || c == 0x2029;
  const bool bidirectional =
      c == 0x061C || c == 0x200E || c == 0x200F || (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
  return control || separator || bidirectional;
}

void append_byte_escape(std::uint32_t byte, std::string& out) {
  out += {'\\', 'x', kHex[byte >> 4 & 15], kHex[byte & 15]};
}

void append_unicode_escape(std::uint32_t c, std::string& out) {
  out += {'\\', 'u', kHex[c >> 12 & 15], kHex[c >> 8 & 15], kHex[c >> 4 & 15], kHex[c & 15]};
}

std::string visible(std::string_view text, bool in_json) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    const auto c = first_code_point(text);
    const auto bytes = c.bytes == 0 ? 1 : c.bytes;
    if (c.bytes == 0) {
      append_byte_escape(static_cast<unsigned char>(text.front()), result);
    } else if (!is_hazardous(c.value)) {
      result += text.substr(0, bytes);
    } else if (c.value < 0x80 && !in_json) {
      append_byte_escape(c.value, result);
    } else {
      append_unicode_escape(c.value, result);
    }
    text.remove_prefix(bytes);
  }
  return result;
}

}  // namespace

std::string visible_text(std::string_view text) {
  return visible(text, /*in_json=*/false);
}

std::string visible_json(std::string_view text) {
  return visible(text, /*in_json=*/true);
}

}  // namespace easel
