// Formats that store weights in fewer than 16 bits each: blocks of values that share a scale. Does not use torch.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace easel {

/// One format. The types of ggml (ggml-quants.c) under the names that GGUF files give them, and the types of 8-bit
/// floating point, in which each value is a block of its own.
struct BlockFormat {
  std::string_view name;  ///< e.g. "Q4_K"
  int values;             ///< of one block
  int bytes;              ///< of one block
  /// Computes the values of `count` blocks in float32, in the order of operations of the format's definition.
  void (*decode)(const std::uint8_t* blocks, std::size_t count, float* values);
};

inline constexpr int kMaxBlockValues = 256;

std::span<const BlockFormat> block_formats();

/// Null for a name that is not in the list.
const BlockFormat* find_block_format(std::string_view name);

/// Bytes of `values` consecutive values, which are whole blocks.
inline std::uint64_t block_bytes(const BlockFormat& format, std::uint64_t values) {
  return values / static_cast<std::uint64_t>(format.values) * static_cast<std::uint64_t>(format.bytes);
}

/// Computes the values of consecutive blocks. @param values  exactly as many as the blocks have
void decode_blocks(const BlockFormat& format, std::span<const std::byte> blocks, std::span<float> values);

/// Writes values as blocks of Q8_0, equal to what ggml's reference writes. Values are finite.
/// @param values  a multiple of 32
/// @param blocks  34 bytes for each 32 values
void encode_q8_0(std::span<const float> values, std::span<std::byte> blocks);

/// The number whose bits as float16 these are.
constexpr float half_to_float(std::uint16_t bits) {
  const auto word = static_cast<std::uint32_t>(bits) << 16;
  const auto sign = word & 0x80000000U;
  const auto magnitude = word + word;  // without the sign
  // Numbers whose exponent is 0 are multiples of 2^-24; the others get float32's exponent by a multiplication.
  const float normal = std::bit_cast<float>((magnitude >> 4) + (0xE0U << 23)) * 0x1.0p-112F;
  const float subnormal = std::bit_cast<float>((magnitude >> 17) | (126U << 23)) - 0.5F;
  return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(magnitude < (1U << 27) ? subnormal : normal));
}

/// The bits of the float16 that is nearest to a number, ties to even.
std::uint16_t float_to_half(float value);

}  // namespace easel
