// After ggml-quants.c of llama.cpp. The inner loops have fixed lengths and no branches, so that compilers vectorise
// them.
#include "weights/format/block_format.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

namespace easel {
namespace {

using Byte = std::uint8_t;

float half_at(const Byte* bytes) {
  return half_to_float(static_cast<std::uint16_t>(bytes[0] | bytes[1] << 8));
}

/// The low nibbles are the first 16 values, the high ones the last 16.
void decode_q4_0(const Byte* block, float* values) {
  const float d = half_at(block);
  const Byte* nibbles = block + 2;
  for (int i = 0; i < 16; ++i) {
    values[i] = d * static_cast<float>((nibbles[i] & 15) - 8);
    values[i + 16] = d * static_cast<float>((nibbles[i] >> 4) - 8);
  }
}

void decode_q4_1(const Byte* block, float* values) {
  const float d = half_at(block), m = half_at(block + 2);
  const Byte* nibbles = block + 4;
  for (int i = 0; i < 16; ++i) {
    values[i] = d * static_cast<float>(nibbles[i] & 15) + m;
    values[i + 16] = d * static_cast<float>(nibbles[i] >> 4) + m;
  }
}

std::uint32_t fifth_bits(const Byte* bytes) {
  return static_cast<std::uint32_t>(bytes[0]) | static_cast<std::uint32_t>(bytes[1]) << 8 |
         static_cast<std::uint32_t>(bytes[2]) << 16 | static_cast<std::uint32_t>(bytes[3]) << 24;
}

void decode_q5_0(const Byte* block, float* values) {
  const float d = half_at(block);
  const auto high = fifth_bits(block + 2);
  const Byte* nibbles = block + 6;
  for (int i = 0; i < 16; ++i) {
    values[i] = d * static_cast<float>(static_cast<int>((nibbles[i] & 15) | (high >> i & 1) << 4) - 16);
    values[i + 16] = d * static_cast<float>(static_cast<int>((nibbles[i] >> 4) | (high >> (i + 16) & 1) << 4) - 16);
  }
}

void decode_q5_1(const Byte* block, float* values) {
  const float d = half_at(block), m = half_at(block + 2);
  const auto high = fifth_bits(block + 4);
  const Byte* nibbles = block + 8;
  for (int i = 0; i < 16; ++i) {
    values[i] = d * static_cast<float>(static_cast<int>((nibbles[i] & 15) | (high >> i & 1) << 4)) + m;
    values[i + 16] = d * static_cast<float>(static_cast<int>((nibbles[i] >> 4) | (high >> (i + 16) & 1) << 4)) + m;
  }
}

void decode_q8_0(const Byte* block, float* values) {
  const float d = half_at(block);
  for (int i = 0; i < 32; ++i) values[i] = static_cast<float>(static_cast<std::int8_t>(block[2 + i])) * d;
}

/// 16 scales and minima of 4 bits each, 64 bytes of 2-bit values, d, dmin.
void decode_q2_k(const Byte* block, float* values) {
  const float d = half_at(block + 80), dmin = half_at(block + 82);
  for (int group = 0; group < 16; ++group) {
    const float scale = d * static_cast<float>(block[group] & 15),
                minimum = dmin * static_cast<float>(block[group] >> 4);
    const Byte* packed = block + 16 + 32 * (group / 8) + 16 * (group % 2);
    const int shift = 2 * (group % 8 / 2);
    for (int i = 0; i < 16; ++i) values[16 * group + i] = scale * static_cast<float>(packed[i] >> shift & 3) - minimum;
  }
}

/// 32 bytes of third bits, 64 bytes of low bits, 16 scales of 6 bits in 12 bytes, d.
void decode_q3_k(const Byte* block, float* values) {
  const Byte* scales = block + 96;
  const float d = half_at(block + 108);
  for (int group = 0; group < 16; ++group) {
    const int low = group < 8 ? scales[group] & 15 : scales[group - 8] >> 4;
    const int high = scales[8 + group % 4] >> (2 * (group / 4)) & 3;
    const float scale = d * static_cast<float>((low | high << 4) - 32);
    const Byte* packed = block + 32 + 32 * (group / 8) + 16 * (group % 2);
    const Byte* third = block + 16 * (group % 2);
    const int shift = 2 * (group % 8 / 2), bit = group / 2;
    for (int i = 0; i < 16; ++i) {
      const int value = (packed[i] >> shift & 3) | (third[i] >> bit & 1) << 2;
      values[16 * group + i] = scale * static_cast<float>(value - 4);
    }
  }
}

struct ScaleAndMinimum {
  int scale, minimum;
};

/// Of group 0 to 7, from the 12 bytes that Q4_K and Q5_K have for them.
ScaleAndMinimum scale_and_minimum(const Byte* b, int group) {
  if (group < 4) return {b[group] & 63, b[group + 4] & 63};
  return {(b[group + 4] & 15) | b[group - 4] >> 6 << 4, b[group + 4] >> 4 | b[group] >> 6 << 4};
}

/// d, dmin, 12 bytes of scales, and for each 64 values 32 bytes: the low nibbles, then the high ones.
void decode_q4_k(const Byte* block, float* values) {
  const float d = half_at(block), dmin = half_at(block + 2);
  for (int group = 0; group < 8; ++group) {
    const auto [sc, mn] = scale_and_minimum(block + 4, group);
    const float scale = d * static_cast<float>(sc), minimum = dmin * static_cast<float>(mn);
    const Byte* packed = block + 16 + 32 * (group / 2);
    const int shift = 4 * (group % 2);
    for (int i = 0; i < 32; ++i) values[32 * group + i] = scale * static_cast<float>(packed[i] >> shift & 15) - minimum;
  }
}

/// As Q4_K, with 32 bytes of fifth bits before the nibbles: bit j is that of group j.
void decode_q5_k(const Byte* block, float* values) {
  const float d = half_at(block), dmin = half_at(block + 2);
  const Byte* fifth = block + 16;
  for (int group = 0; group < 8; ++group) {
    const auto [sc, mn] = scale_and_minimum(block + 4, group);
    const float scale = d * static_cast<float>(sc), minimum = dmin * static_cast<float>(mn);
    const Byte* packed = block + 48 + 32 * (group / 2);
    const int shift = 4 * (group % 2);
    for (int i = 0; i < 32; ++i) {
      const int value = (packed[i] >> shift & 15) | (fifth[i] >> group & 1) << 4;
      values[32 * group + i] = scale * static_cast<float>(value) - minimum;
    }
  }
}

/// 128 bytes of nibbles, 64 of two higher bits, 16 signed scales, d. Each half of 128 values has 64 and 32 of them.
void decode_q6_k(const Byte* block, float* values) {
  const float d = half_at(block + 208);
  for (int group = 0; group < 16; ++group) {
    const float scale = d * static_cast<float>(static_cast<std::int8_t>(block[192 + group]));
    const int half = group / 8, part = group % 8 / 2;  // of 32 values each
    const Byte* low = block + 64 * half + 32 * (part % 2) + 16 * (group % 2);
    const Byte* high = block + 128 + 32 * half + 16 * (group % 2);
    const int low_shift = 4 * (part / 2), high_shift = 2 * part;
    for (int i = 0; i < 16; ++i) {
      const int value = (low[i] >> low_shift & 15) | (high[i] >> high_shift & 3) << 4;
      values[16 * group + i] = scale * static_cast<float>(value - 32);
    }
  }
}

/// The function for many blocks, from that for one.
template <int kValues, int kBytes, void (*kDecodeOne)(const Byte*, float*)>
void decode_each(const Byte* blocks, std::size_t count, float* values) {
  for (std::size_t i = 0; i < count; ++i) kDecodeOne(blocks + i * kBytes, values + i * kValues);
}

template <int kValues, int kBytes, void (*kDecodeOne)(const Byte*, float*)>
constexpr BlockFormat format_of(std::string_view name) {
  return {.name = name, .values = kValues, .bytes = kBytes, .decode = &decode_each<kValues, kBytes, kDecodeOne>};
}

using Float8Table = std::array<float, 256>;

/// Four bits of exponent with a bias of 7, three of mantissa, no infinities: the numbers of float16 with the same
/// fields, 2^8 times as large.
Float8Table make_e4m3() {
  Float8Table table{};
  for (std::uint32_t bits = 0; bits < table.size(); ++bits) {
    const auto magnitude = bits & 0x7F, sign = bits & 0x80;
    const float value = half_to_float(static_cast<std::uint16_t>(sign << 8 | magnitude << 7)) * 0x1.0p8F;
    table[bits] = magnitude == 0x7F ? std::numeric_limits<float>::quiet_NaN() : value;
  }
  return table;
}

/// The upper half of a float16.
Float8Table make_e5m2() {
  Float8Table table{};
  for (std::uint32_t bits = 0; bits < table.size(); ++bits) {
    table[bits] = half_to_float(static_cast<std::uint16_t>(bits << 8));
  }
  return table;
}

// Not constexpr: clang does not accept a constant expression that produces a NaN.
const Float8Table kE4M3 = make_e4m3(), kE5M2 = make_e5m2();

void decode_e4m3(const Byte* bytes, std::size_t count, float* values) {
  for (std::size_t i = 0; i < count; ++i) values[i] = kE4M3[bytes[i]];
}
void decode_e5m2(const Byte* bytes, std::size_t count, float* values) {
  for (std::size_t i = 0; i < count; ++i) values[i] = kE5M2[bytes[i]];
}

constexpr BlockFormat kFormats[] = {
    format_of<32, 18, &decode_q4_0>("Q4_0"),   format_of<32, 20, &decode_q4_1>("Q4_1"),
    format_of<32, 22, &decode_q5_0>("Q5_0"),   format_of<32, 24, &decode_q5_1>("Q5_1"),
    format_of<32, 34, &decode_q8_0>("Q8_0"),   format_of<256, 84, &decode_q2_k>("Q2_K"),
    format_of<256, 110, &decode_q3_k>("Q3_K"), format_of<256, 144, &decode_q4_k>("Q4_K"),
    format_of<256, 176, &decode_q5_k>("Q5_K"), format_of<256, 210, &decode_q6_k>("Q6_K"),
    {"Float8_e4m3fn", 1, 1, &decode_e4m3},     {"Float8_e5m2", 1, 1, &decode_e5m2}};

}  // namespace

std::span<const BlockFormat> block_formats() {
  return kFormats;
}

const BlockFormat* find_block_format(std::string_view name) {
  const auto* found = std::ranges::find(kFormats, name, &BlockFormat::name);
  return found == std::end(kFormats) ? nullptr : found;
}

void decode_blocks(const BlockFormat& format, std::span<const std::byte> blocks, std::span<float> values) {
  const auto count = values.size() / static_cast<std::size_t>(format.values);
  format.decode(reinterpret_cast<const Byte*>(blocks.data()), count, values.data());
}

void encode_q8_0(std::span<const float> values, std::span<std::byte> blocks) {
  constexpr std::size_t kValues = 32, kBytes = 34;
  for (std::size_t block = 0; block * kValues < values.size(); ++block) {
    const auto in = values.subspan(block * kValues, kValues);
    const auto out = blocks.subspan(block * kBytes, kBytes);
    float largest = 0;
    for (const float value : in) largest = std::max(largest, std::fabs(value));
    const float d = largest / 127.0F, inverse = d == 0 ? 0.0F : 1.0F / d;
    const auto scale = float_to_half(d);
    out[0] = static_cast<std::byte>(scale & 0xFF);
    out[1] = static_cast<std::byte>(scale >> 8);
    for (std::size_t i = 0; i < kValues; ++i) {
      out[2 + i] = static_cast<std::byte>(static_cast<std::int8_t>(std::round(in[i] * inverse)));
    }
  }
}

std::uint16_t float_to_half(float value) {
  const auto word = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>(word >> 16 & 0x8000U);
  const float magnitude = std::fabs(value);
  if (!(magnitude < 65520.0F)) {
    return static_cast<std::uint16_t>(sign | (std::isnan(value) ? 0x7E00U : 0x7C00U));
  }
  if (magnitude < 0x1.0p-14F) {  // a multiple of 2^-24
    return static_cast<std::uint16_t>(sign | static_cast<std::uint16_t>(std::nearbyint(magnitude * 0x1.0p24F)));
  }
  auto rounded = (word & 0x7FFFFFFFU) - (112U << 23);
  rounded += 0xFFFU + (rounded >> 13 & 1U);
  return static_cast<std::uint16_t>(sign | rounded >> 13);
}

}  // namespace easel
