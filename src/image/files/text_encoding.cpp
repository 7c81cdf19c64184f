#include "image/files/text_encoding.h"

#include <cstddef>

namespace easel {
namespace {

constexpr char32_t kReplacement = 0xFFFD;
constexpr char32_t kFirstSurrogate = 0xD800, kFirstLowSurrogate = 0xDC00, kBehindSurrogates = 0xE000;
constexpr char32_t kBehindBasicPlane = 0x10000;

std::size_t utf8_length(unsigned char first) {
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first < 0xE0) return 2;
  if (first >= 0xE0 && first < 0xF0) return 3;
  return first >= 0xF0 && first < 0xF5 ? 4 : 0;
}

/// Takes one character from the front of `text`, which is not empty; an invalid byte is U+FFFD.
char32_t take_utf8(std::string_view& text) {
  const auto first = static_cast<unsigned char>(text[0]);
  const auto length = utf8_length(first);
  constexpr char32_t kSmallest[] = {0, 0, 0x80, 0x800, kBehindBasicPlane};
  char32_t character = length == 1 ? first : first & (0x7Fu >> length);
  bool valid = length != 0 && length <= text.size();
  for (std::size_t i = 1; valid && i < length; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    valid = (byte & 0xC0) == 0x80;
    character = character << 6 | (byte & 0x3Fu);
  }
  valid = valid && character >= kSmallest[length] && character < 0x110000 &&
          (character < kFirstSurrogate || character >= kBehindSurrogates);
  text.remove_prefix(valid ? length : 1);
  return valid ? character : kReplacement;
}

void append_utf8(std::string& out, char32_t character) {
  if (character < 0x80) {
    out += static_cast<char>(character);
    return;
  }
  const int continuations = character < 0x800 ? 1 : character < kBehindBasicPlane ? 2 : 3;
  constexpr char32_t kLead[] = {0, 0xC0, 0xE0, 0xF0};
  out += static_cast<char>(kLead[continuations] | character >> (6 * continuations));
  for (int i = continuations - 1; i >= 0; --i) out += static_cast<char>(0x80 | (character >> (6 * i) & 0x3F));
}

void append_unit(std::string& out, char32_t unit) {
  out += static_cast<char>(unit >> 8);
  out += static_cast<char>(unit & 0xFF);
}

/// Whether more of the second bytes than of the first bytes are 0.
bool looks_little_endian(std::string_view text) {
  std::size_t zeros[2] = {0, 0};
  for (std::size_t i = 0; i < text.size(); ++i) zeros[i % 2] += text[i] == 0 ? 1 : 0;
  return zeros[1] > zeros[0];
}

}  // namespace

std::optional<std::string> latin1_from_utf8(std::string_view text) {
  std::string latin1;
  latin1.reserve(text.size());
  while (!text.empty()) {
    const auto character = take_utf8(text);
    if (character > 0xFF) return std::nullopt;
    latin1 += static_cast<char>(character);
  }
  return latin1;
}

std::string utf8_from_latin1(std::string_view text) {
  std::string utf8;
  for (const char byte : text) append_utf8(utf8, static_cast<unsigned char>(byte));
  return utf8;
}

std::string utf16_from_utf8(std::string_view text) {
  std::string utf16;
  utf16.reserve(2 * text.size());
  while (!text.empty()) {
    const auto character = take_utf8(text);
    if (character < kBehindBasicPlane) {
      append_unit(utf16, character);
    } else {
      append_unit(utf16, kFirstSurrogate + ((character - kBehindBasicPlane) >> 10));
      append_unit(utf16, kFirstLowSurrogate + ((character - kBehindBasicPlane) & 0x3FF));
    }
  }
  return utf16;
}

std::string utf8_from_utf16(std::string_view text) {
  bool little_endian = looks_little_endian(text);
  const bool marked = text.starts_with("\xFE\xFF") || text.starts_with("\xFF\xFE");
  if (marked) {
    little_endian = text[0] == '\xFF';
    text.remove_prefix(2);
  }
  const auto unit = [&](std::size_t at) -> char32_t {
    if (at + 1 >= text.size()) return 0;
    const auto first = static_cast<unsigned char>(text[at]), second = static_cast<unsigned char>(text[at + 1]);
    return little_endian ? char32_t{second} << 8 | first : char32_t{first} << 8 | second;
  };
  std::string utf8;
  for (std::size_t at = 0; at + 1 < text.size(); at += 2) {
    const auto high = unit(at), low = unit(at + 2);
    if (high < kFirstSurrogate || high >= kBehindSurrogates) {
      append_utf8(utf8, high);
    } else if (high < kFirstLowSurrogate && low >= kFirstLowSurrogate && low < kBehindSurrogates) {
      append_utf8(utf8, kBehindBasicPlane + ((high - kFirstSurrogate) << 10) + (low - kFirstLowSurrogate));
      at += 2;
    } else {
      append_utf8(utf8, kReplacement);
    }
  }
  return utf8;
}

}  // namespace easel
