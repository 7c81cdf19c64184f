// Attention for instruction sets on which libtorch's own leaves much of the processor idle: plain functions over
// memory, each compiled for its instructions. nn/attention.h chooses between them.
#pragma once

#include <cstdint>

namespace easel::kernels {

constexpr std::int64_t kAttentionQueries = 96;  ///< that pass the keys together
constexpr std::int64_t kAttentionKeys = 256;    ///< of which a block holds the scores
constexpr std::int64_t kAttentionWidest = 256;  ///< numbers of a head

/// One head of one image. Strides are in elements; the numbers of a row are adjacent.
struct AttentionHead {
  const void* query;          ///< [queries, width]
  std::int64_t query_stride;  ///< even for bfloat16
  const void* packed_keys;    ///< by pack_keys
  const void* packed_values;  ///< by pack_values
  const float* bias;          ///< [keys], added to the scores before they are scaled; may be -infinity; null: none
  std::int64_t keys;          ///< at least 1
  std::int64_t width;         ///< 1 to kAttentionWidest, even for bfloat16
  float scale;                ///< of the scores, times log2(e)
  void* output;               ///< [queries, width]
  std::int64_t output_stride;
};

/// The same computation with one kind of instructions. Thread-safe.
struct AttentionKernel {
  /// softmax(query keys^T) values for `count` (at most kAttentionQueries) rows of queries from `first` on. A row's
  /// result does not depend on the other rows.
  void (*run)(const AttentionHead& head, std::int64_t first, std::int64_t count);
  /// Copies [keys, width] into the layout that run reads. `stride` in elements, between rows.
  void (*pack_keys)(const void* source, std::int64_t stride, std::int64_t keys, std::int64_t width, void* target);
  void (*pack_values)(const void* source, std::int64_t stride, std::int64_t keys, std::int64_t width, void* target);
  std::int64_t (*packed_key_bytes)(std::int64_t keys, std::int64_t width);
  std::int64_t (*packed_value_bytes)(std::int64_t keys, std::int64_t width);
};

// Each may only be called on a processor with its instructions. None exists for other processors than x86.
const AttentionKernel& float32_attention_avx2();     // with FMA
const AttentionKernel& float32_attention_avx512();   // F, DQ, BW and VL
const AttentionKernel& bfloat16_attention_avx512();  // BF16 as well

}  // namespace easel::kernels
