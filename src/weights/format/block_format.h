// Formats that store weights in fewer than 16 bits each: blocks of values that share a scale. Does not use torch.
#pragma once

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
  /// Computes the values of one block in float32, in the order of operations of the format's definition.
  void (*decode)(const std::uint8_t* block, float* values);
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

/// float16 from its bits, and the bits of the float16 that is nearest to a number, ties to even.
float half_to_float(std::uint16_t bits);
std::uint16_t float_to_half(float value);

}  // namespace easel
