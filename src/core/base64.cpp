#include "core/base64.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace easel {
namespace {

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::uint8_t kNoDigit = 64;

constexpr std::array<std::uint8_t, 256> kValues = [] {
  std::array<std::uint8_t, 256> values{};
  for (auto& value : values) value = kNoDigit;
  for (std::size_t i = 0; i < kAlphabet.size(); ++i) {
    values[static_cast<unsigned char>(kAlphabet[i])] = static_cast<std::uint8_t>(i);
  }
  return values;
}();

}  // namespace

std::string base64_encode(std::string_view bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const auto group = bytes.substr(i, 3);
    std::uint32_t bits = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      bits = bits << 8 | (k < group.size() ? static_cast<unsigned char>(group[k]) : 0u);
    }
    for (std::size_t k = 0; k < 4; ++k) text += k <= group.size() ? kAlphabet[bits >> (18 - 6 * k) & 63] : '=';
  }
  return text;
}

std::optional<std::string> base64_decode(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3);
  for (std::size_t i = 0; i < text.size(); i += 4) {
    const std::size_t digits = i + 4 == text.size() ? 4 - padding : 4;
    std::uint32_t bits = 0;
    for (std::size_t k = 0; k < 4; ++k) {
      const auto value = k < digits ? kValues[static_cast<unsigned char>(text[i + k])] : std::uint8_t{0};
      if (value == kNoDigit) return std::nullopt;
      bits = bits << 6 | value;
    }
    for (std::size_t k = 0; k + 1 < digits; ++k) bytes += static_cast<char>(bits >> (16 - 8 * k) & 255);
    // Unused bits must be 0; otherwise two texts would stand for the same bytes.
    if ((bits & ((std::uint32_t{1} << (8 * (4 - digits))) - 1)) != 0) return std::nullopt;
  }
  return bytes;
}

std::optional<std::string> base64_decode_any(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3 + 3);
  std::uint32_t bits = 0;
  std::size_t digits = 0, padding = 0;
  for (char c : text) {
    if (c == ' ' || (c >= '\t' && c <= '\r')) continue;
    if (c == '=' && padding < 2) {
      ++padding;
      continue;
    }
    c = c == '-' ? '+' : c == '_' ? '/' : c;
    const auto value = kValues[static_cast<unsigned char>(c)];
    if (value == kNoDigit || padding != 0) return std::nullopt;
    bits = bits << 6 | value;
    ++digits;
    // Four digits of 6 bits hold three bytes: each digit but the first of four completes one.
    if (digits % 4 != 1) bytes += static_cast<char>(bits >> (digits * 6 % 8) & 255);
  }
  const bool padded_wrongly = padding != 0 && (digits + padding) % 4 != 0;
  if (digits % 4 == 1 || padded_wrongly) return std::nullopt;
  return bytes;
}

}  // namespace easel
