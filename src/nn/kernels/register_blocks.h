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
  /// out (+)= a b.
  /// @param rows       any number
  /// @param columns    a multiple of kWidth
  /// @param a          [rows, depth] units; `b` [depth, columns] units
  /// @param continued  whether the products are added to what `out` [rows, columns] holds
  static void multiply(int64_t rows, int64_t columns, const Unit* a, int64_t a_stride, const Unit* b, int64_t b_stride,
                       int64_t depth, float* out, int64_t out_stride, bool continued) {
    while (columns > 0) {
      const int64_t vectors = columns / kWidth < kColumns ? columns / kWidth : kColumns;
      const auto multiply_these = vectors == 1   ? &multiply_rows<1>
                                  : vectors == 2 ? &multiply_rows<2>
                                  : vectors == 3 ? &multiply_rows<3>
                                                 : &multiply_rows<kColumns>;
      multiply_these(rows, a, a_stride, b, b_stride, depth, out, out_stride, continued);
      columns -= vectors * kWidth;
      b += vectors * kWidth;
      out += vectors * kWidth;
    }
  }

 private:
  /// Rows x Columns vectors of sums += products of `depth` units: rows of `a`, columns of `b`.
  template <int64_t Rows, int64_t Columns>
  static inline __attribute__((always_inline)) void multiply_block(const Unit* a, int64_t a_stride, const Unit* b,
                                                                   int64_t b_stride, int64_t depth, float* out,
                                                                   int64_t out_stride, bool continued) {
    Sums sums[Rows][Columns];
    for (int64_t r = 0; r < Rows; ++r) {
      for (int64_t c = 0; c < Columns; ++c) {
        sums[r][c] = continued ? Arith::load(out + r * out_stride + c * kWidth) : Arith::zero();
      }
    }
    for (int64_t k = 0; k < depth; ++k) {
      typename Arith::Operand columns[Columns];
      for (int64_t c = 0; c < Columns; ++c) columns[c] = Arith::load_units(b + k * b_stride + c * kWidth);
      for (int64_t r = 0; r < Rows; ++r) {
        const auto row = Arith::broadcast(a + r * a_stride + k);
        for (int64_t c = 0; c < Columns; ++c) sums[r][c] = Arith::multiply_add(row, columns[c], sums[r][c]);
      }
    }
    for (int64_t r = 0; r < Rows; ++r) {
      for (int64_t c = 0; c < Columns; ++c) Arith::store(out + r * out_stride + c * kWidth, sums[r][c]);
    }
  }

  /// The same with any number of rows: whole blocks, then one row after the other.
  template <int64_t Columns>
  static void multiply_rows(int64_t rows, const Unit* a, int64_t a_stride, const Unit* b, int64_t b_stride,
                            int64_t depth, float* out, int64_t out_stride, bool continued) {
    for (; rows >= kRows; rows -= kRows, a += kRows * a_stride, out += kRows * out_stride) {
      multiply_block<kRows, Columns>(a, a_stride, b, b_stride, depth, out, out_stride, continued);
    }
    for (; rows > 0; --rows, a += a_stride, out += out_stride) {
      multiply_block<1, Columns>(a, a_stride, b, b_stride, depth, out, out_stride, continued);
    }
  }
};

}  // namespace
}  // namespace easel::kernels
