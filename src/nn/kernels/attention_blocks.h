// Attention in blocks, for one instruction set. Included only by the files that are compiled for it.
//
// Nothing here may come from a header with inline functions or templates of others: the linker keeps one copy of each,
// and a copy with this file's instructions would end the program on a processor without them.
#pragma once

#include <stdint.h>

#include "nn/kernels/attention_kernel.h"
#include "nn/kernels/register_blocks.h"

namespace easel::kernels {
namespace {

/// The online softmax of FlashAttention (Dao et al. 2022, arXiv:2205.14135): a block of queries passes all keys, block
/// by block, and keeps the largest score and the sum of exponentials of each query.
///
/// `Arith` supplies the arithmetic: vectors of kWidth float32 sums (Sums), and products of Units. A unit is one float32
/// number, or two bfloat16 numbers whose products are added together.
template <class Arith>
class BlockedAttention {
  using Unit = typename Arith::Unit;
  using Sums = typename Arith::Sums;
  using Blocks = RegisterBlocks<Arith>;
  static constexpr int64_t kWidth = Arith::kWidth;
  static constexpr int64_t kPanel = Arith::kColumns * kWidth;  // keys that are packed together
  static constexpr int64_t kPerUnit = Arith::kPerUnit;         // numbers in a unit
  static constexpr int64_t kQueries = kAttentionQueries, kKeys = kAttentionKeys;
  static_assert(kKeys % kPanel == 0 && kWidth % kPerUnit == 0);

 public:
  static void run(const AttentionHead& head, int64_t first, int64_t count) {
    alignas(64) float scores[kQueries * kKeys];
    alignas(64) Unit weights[kQueries * kKeys / kPerUnit];
    alignas(64) float sums[kQueries * kAttentionWidest];
    float largest[kQueries], total[kQueries];
    const int64_t width = padded_width(head.width);
    for (int64_t i = 0; i < count * width; ++i) sums[i] = 0;
    for (int64_t row = 0; row < count; ++row) {
      largest[row] = -__builtin_inff();
      total[row] = 0;
    }
    for (int64_t key = 0; key < head.keys; key += kKeys) {
      const int64_t present = head.keys - key < kKeys ? head.keys - key : kKeys;
      const int64_t padded = padded_width(present);  // to whole vectors
      score(head, first, count, key, padded, scores);
      for (int64_t row = 0; row < count; ++row) {
        if (head.bias != nullptr) add_bias(scores + row * kKeys, head.bias + key, present);
        soften(scores + row * kKeys, present, padded, head.scale, weights + row * (kKeys / kPerUnit), largest[row],
               total[row], sums + row * width, width);
      }
      add_values(head, count, key, padded, weights, sums, width);
    }
    for (int64_t row = 0; row < count; ++row) {
      Arith::store_result(head.output, (first + row) * head.output_stride, sums + row * width, head.width,
                          1.0F / total[row]);
    }
  }

  static int64_t padded_width(int64_t width) { return (width + kWidth - 1) / kWidth * kWidth; }

  /// Panels of kPanel keys, each [units of a key, kPanel].
  static void pack_keys(const void* source, int64_t stride, int64_t keys, int64_t width, void* target) {
    const int64_t units = width / kPerUnit;
    auto* out = static_cast<Unit*>(target);
    for (int64_t panel = 0; panel < keys; panel += kPanel, out += units * kPanel) {
      for (int64_t k = 0; k < kPanel; ++k) {
        const Unit* row = panel + k < keys ? Arith::units(source, (panel + k) * stride) : nullptr;
        for (int64_t u = 0; u < units; ++u) out[u * kPanel + k] = row != nullptr ? row[u] : Unit{};
      }
    }
  }

  /// [keys / kPerUnit, padded width], keys padded to whole panels: units of the same column of kPerUnit values.
  static void pack_values(const void* source, int64_t stride, int64_t keys, int64_t width, void* target) {
    const int64_t padded_keys = (keys + kPanel - 1) / kPanel * kPanel, padded = padded_width(width);
    auto* out = static_cast<Unit*>(target);
    for (int64_t key = 0; key < padded_keys; key += kPerUnit, out += padded) {
      for (int64_t d = 0; d < padded; ++d) {
        out[d] = d < width ? Arith::column(source, key, keys, stride, d) : Unit{};
      }
    }
  }

  static int64_t packed_key_bytes(int64_t keys, int64_t width) {
    return (keys + kPanel - 1) / kPanel * kPanel * (width / kPerUnit) * static_cast<int64_t>(sizeof(Unit));
  }

  static int64_t packed_value_bytes(int64_t keys, int64_t width) {
    return (keys + kPanel - 1) / kPanel * kPanel / kPerUnit * padded_width(width) * static_cast<int64_t>(sizeof(Unit));
  }

 private:
  static void score(const AttentionHead& head, int64_t first, int64_t count, int64_t key, int64_t padded,
                    float* scores) {
    const int64_t units = head.width / kPerUnit;
    const Unit* queries = Arith::units(head.query, first * head.query_stride);
    const auto* keys = static_cast<const Unit*>(head.packed_keys) + key * units;
    for (int64_t panel = 0; panel < padded; panel += kPanel) {
      Blocks::multiply(count, padded - panel < kPanel ? padded - panel : kPanel,
                       {.a = queries,
                        .a_stride = head.query_stride / kPerUnit,
                        .b = keys + panel * units,
                        .b_stride = kPanel,
                        .depth = units,
                        .part = units,
                        .out = scores + panel,
                        .out_stride = kKeys,
                        .continued = false});
    }
  }

  static void add_bias(float* scores, const float* bias, int64_t present) {
    for (int64_t k = 0; k < present; ++k) scores[k] += bias[k];
  }

  /// Exponentials of a row of scores, relative to the largest score so far, to which the former sums are rescaled.
  static void soften(float* scores, int64_t present, int64_t padded, float scale, Unit* weights, float& largest,
                     float& total, float* sums, int64_t width) {
    for (int64_t k = present; k < padded; ++k) scores[k] = -__builtin_inff();
    Sums highest = Arith::load(scores);
    for (int64_t k = kWidth; k < padded; k += kWidth) highest = Arith::larger(highest, Arith::load(scores + k));
    const float found = Arith::largest_of(highest) * scale;
    const float now = found > largest ? found : largest;
    const Sums offset = Arith::all(now), factor = Arith::all(scale);
    Sums sum = Arith::zero();
    for (int64_t k = 0; k < padded; k += kWidth) {
      const Sums e = Arith::exp2(Arith::minus(Arith::times(Arith::load(scores + k), factor), offset));
      sum = Arith::plus(sum, e);
      Arith::store_weights(weights, k, e);
    }
    const float fade = Arith::exp2_of(largest - now);
    total = total * fade + Arith::sum_of(sum);
    largest = now;
    if (fade == 1.0F) return;
    const Sums fading = Arith::all(fade);
    for (int64_t d = 0; d < width; d += kWidth) Arith::store(sums + d, Arith::times(Arith::load(sums + d), fading));
  }

  static void add_values(const AttentionHead& head, int64_t count, int64_t key, int64_t padded, const Unit* weights,
                         float* sums, int64_t width) {
    const auto* values = static_cast<const Unit*>(head.packed_values) + key / kPerUnit * width;
    const int64_t depth = padded / kPerUnit, stride = kKeys / kPerUnit;
    Blocks::multiply(count, width,
                     {.a = weights,
                      .a_stride = stride,
                      .b = values,
                      .b_stride = width,
                      .depth = depth,
                      .part = depth,
                      .out = sums,
                      .out_stride = width,
                      .continued = true});
  }
};

template <class Arith>
constexpr AttentionKernel kAttentionKernel{.run = &BlockedAttention<Arith>::run,
                                           .pack_keys = &BlockedAttention<Arith>::pack_keys,
                                           .pack_values = &BlockedAttention<Arith>::pack_values,
                                           .packed_key_bytes = &BlockedAttention<Arith>::packed_key_bytes,
                                           .packed_value_bytes = &BlockedAttention<Arith>::packed_value_bytes};

/// What all kernels for float32 read: a unit is a number.
struct Float32Rows {
  using Unit = float;
  static constexpr int64_t kPerUnit = 1;

  static const float* units(const void* rows, int64_t offset) { return static_cast<const float*>(rows) + offset; }
  static float column(const void* rows, int64_t key, int64_t keys, int64_t stride, int64_t d) {
    return key < keys ? static_cast<const float*>(rows)[key * stride + d] : 0.0F;
  }
};

}  // namespace
}  // namespace easel::kernels
