// Products of small matrices, the sums of which stay in registers. Included only by files that are compiled for one
// instruction set, and under the same conditions as attention_blocks.h.
#pragma once

#include <stdint.h>

namespace easel::kernels {
namespace {

/// `Arith` supplies the arithmetic: vectors of kWidth float32 sums (Sums), of which kRows x kColumns and kColumns + 1
/// more fit into the registers, and products of Units. A unit is one number, or several whose products are added
/// together.
template <class Arith>
class RegisterBlocks {
  using Unit = typename Arith::Unit;
  using Sums = typename Arith::Sums;
  static constexpr int64_t kWidth = Arith::kWidth;
  static constexpr int64_t kRows = Arith::kRows;
  static constexpr int64_t kColumns = Arith::kColumns;
  static_assert(kColumns <= 4);

 public:
  /// Matrices in memory; strides in elements.
  struct Operands {
    const Unit* a;  ///< [rows, depth]
    int64_t a_stride;
    const Unit* b;  ///< [depth, columns]
    int64_t b_stride;
    int64_t depth;
    int64_t part;  ///< units whose products are added together before they are added to `out`; at least 1
    float* out;    ///< [rows, columns]
    int64_t out_stride;
    bool continued;  ///< whether the products are added to what `out` holds
  };

  /// out (+)= a b.
  /// @param rows     any number
  /// @param columns  a multiple of kWidth
  static void multiply(int64_t rows, int64_t columns, Operands x) {
    while (columns > 0) {
      const int64_t vectors = columns / kWidth < kColumns ? columns / kWidth : kColumns;
      const auto multiply_these = vectors == 1   ? &multiply_rows<1>
                                  : vectors == 2 ? &multiply_rows<2>
                                  : vectors == 3 ? &multiply_rows<3>
                                                 : &multiply_rows<kColumns>;
      multiply_these(rows, x);
      columns -= vectors * kWidth;
      x.b += vectors * kWidth;
      x.out += vectors * kWidth;
    }
  }

 private:
  /// Rows of `a` and Columns vectors of `b`.
  template <int64_t Rows, int64_t Columns>
  static inline __attribute__((always_inline)) void multiply_block(const Operands& x) {
    for (int64_t first = 0; first < x.depth; first += x.part) {
      const int64_t end = x.depth - first < x.part ? x.depth : first + x.part;
      Sums sums[Rows][Columns];
      for (int64_t r = 0; r < Rows; ++r) {
        for (int64_t c = 0; c < Columns; ++c) sums[r][c] = Arith::zero();
      }
      for (int64_t k = first; k < end; ++k) {
        typename Arith::Operand columns[Columns];
        for (int64_t c = 0; c < Columns; ++c) columns[c] = Arith::load_units(x.b + k * x.b_stride + c * kWidth);
        for (int64_t r = 0; r < Rows; ++r) {
          const auto row = Arith::broadcast(x.a + r * x.a_stride + k);
          for (int64_t c = 0; c < Columns; ++c) sums[r][c] = Arith::multiply_add(row, columns[c], sums[r][c]);
        }
      }
      const bool adds = x.continued || first > 0;
      for (int64_t r = 0; r < Rows; ++r) {
        for (int64_t c = 0; c < Columns; ++c) {
          float* const out = x.out + r * x.out_stride + c * kWidth;
          Arith::store(out, adds ? Arith::plus(Arith::load(out), sums[r][c]) : sums[r][c]);
        }
      }
    }
  }

  /// Any number of rows: whole blocks, then one row after the other.
  template <int64_t Columns>
  static void multiply_rows(int64_t rows, Operands x) {
    while (rows > 0) {
      const int64_t count = rows < kRows ? 1 : kRows;
      if (count == 1) {
        multiply_block<1, Columns>(x);
      } else {
        multiply_block<kRows, Columns>(x);
      }
      rows -= count;
      x.a += count * x.a_stride;
      x.out += count * x.out_stride;
    }
  }
};

}  // namespace
}  // namespace easel::kernels
