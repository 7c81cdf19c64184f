// Blocks to numbers on devices for which easel has no code of its own.
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>

#include <string>
#include <string_view>

#include "core/text.h"
#include "easel/error.h"
#include "weights/loading/quantized_weight.h"

namespace easel {
namespace {

/// Blocks [N, bytes] to values [N, values] in float32. In what follows, N is left out of shapes.
using Decode = at::Tensor (*)(const at::Tensor& blocks);

at::Tensor bytes(const at::Tensor& blocks, std::int64_t first, std::int64_t count) {
  return blocks.narrow(1, first, count);
}

/// A float16 at this byte, as a column that multiplies groups of values: [1, 1]
at::Tensor half_at(const at::Tensor& blocks, std::int64_t first) {
  return bytes(blocks, first, 2).contiguous().view(at::kHalf).to(at::kFloat).unsqueeze(2);
}

at::Tensor shifts(const at::Tensor& like, std::int64_t count, std::int64_t step) {
  return at::arange(0, count * step, step, like.options());
}

/// Bits of `bytes` from each multiple of `step`, as if each byte were `count` numbers: [n] -> [count, n]
at::Tensor unpack(const at::Tensor& packed, std::int64_t count, std::int64_t step, std::int64_t mask) {
  return packed.unsqueeze(1).bitwise_right_shift(shifts(packed, count, step).view({1, -1, 1})).bitwise_and(mask);
}

/// [1, n]: the low nibbles, then the high ones, as the small types have them
at::Tensor nibbles(const at::Tensor& blocks, std::int64_t first) {
  return unpack(bytes(blocks, first, 16), 2, 4, 15).flatten(1).unsqueeze(1);
}

/// [1, 32]: bit i is that of value i, in its place above a nibble
at::Tensor fifth_bits(const at::Tensor& blocks, std::int64_t first) {
  const auto high = bytes(blocks, first, 4).unsqueeze(2);  // [4, 1]
  return high.bitwise_right_shift(shifts(blocks, 8, 1)).bitwise_and(1).flatten(1).mul(16).unsqueeze(1);
}

/// Scales of each group [G, 1] and values [G, n] of blocks to [G n].
at::Tensor joined(const at::Tensor& values) {
  return values.flatten(1);
}

at::Tensor q4_0(const at::Tensor& b) {
  return joined(half_at(b, 0) * (nibbles(b, 2).to(at::kFloat) - 8));
}
at::Tensor q4_1(const at::Tensor& b) {
  return joined((half_at(b, 0) * nibbles(b, 4).to(at::kFloat)) + half_at(b, 2));
}
at::Tensor q5_0(const at::Tensor& b) {
  return joined(half_at(b, 0) * ((nibbles(b, 6) + fifth_bits(b, 2)).to(at::kFloat) - 16));
}
at::Tensor q5_1(const at::Tensor& b) {
  return joined((half_at(b, 0) * (nibbles(b, 8) + fifth_bits(b, 4)).to(at::kFloat)) + half_at(b, 2));
}
at::Tensor q8_0(const at::Tensor& b) {
  return joined(half_at(b, 0) * bytes(b, 2, 32).contiguous().view(at::kChar).unsqueeze(1).to(at::kFloat));
}

/// 2-bit values as groups of 16: [64] -> [16, 16]
at::Tensor pairs_of_bits(const at::Tensor& packed) {
  return packed.unflatten(1, {2, 1, 32})
      .bitwise_right_shift(shifts(packed, 4, 2).view({1, 1, 4, 1}))
      .bitwise_and(3)
      .reshape({packed.size(0), 16, 16});
}

at::Tensor q2_k(const at::Tensor& b) {
  const auto scales = bytes(b, 0, 16).unsqueeze(2);  // [16, 1]
  const auto scale = half_at(b, 80) * scales.bitwise_and(15).to(at::kFloat);
  const auto minimum = half_at(b, 82) * scales.bitwise_right_shift(4).to(at::kFloat);
  return joined(scale * pairs_of_bits(bytes(b, 16, 64)).to(at::kFloat) - minimum);
}

at::Tensor q3_k(const at::Tensor& b) {
  const auto low = unpack(bytes(b, 96, 8), 2, 4, 15).flatten(1), high = unpack(bytes(b, 104, 4), 4, 2, 3).flatten(1);
  const auto scale = half_at(b, 108) * ((low + high * 16).to(at::kFloat) - 32).unsqueeze(2);  // [16, 1]
  const auto third = unpack(bytes(b, 0, 32), 8, 1, 1).reshape({b.size(0), 16, 16});
  return joined(scale * ((pairs_of_bits(bytes(b, 32, 64)) + third * 4).to(at::kFloat) - 4));
}

struct ScalesAndMinima {
  at::Tensor scales, minima;  // float32 [8, 1]
};

ScalesAndMinima scales_and_minima(const at::Tensor& b) {
  const auto first = bytes(b, 4, 4), second = bytes(b, 8, 4), third = bytes(b, 12, 4);
  const auto high = [](const at::Tensor& x) { return x.bitwise_right_shift(6) * 16; };
  const auto scales = at::cat({first.bitwise_and(63), third.bitwise_and(15) + high(first)}, 1);
  const auto minima = at::cat({second.bitwise_and(63), third.bitwise_right_shift(4) + high(second)}, 1);
  return {half_at(b, 0) * scales.to(at::kFloat).unsqueeze(2), half_at(b, 2) * minima.to(at::kFloat).unsqueeze(2)};
}

/// [128] -> [8, 32]: of each 32 bytes the low nibbles, then the high ones
at::Tensor grouped_nibbles(const at::Tensor& packed) {
  return packed.unflatten(1, {4, 1, 32})
      .bitwise_right_shift(shifts(packed, 2, 4).view({1, 1, 2, 1}))
      .bitwise_and(15)
      .reshape({packed.size(0), 8, 32});
}

at::Tensor q4_k(const at::Tensor& b) {
  const auto [scales, minima] = scales_and_minima(b);
  return joined(scales * grouped_nibbles(bytes(b, 16, 128)).to(at::kFloat) - minima);
}

at::Tensor q5_k(const at::Tensor& b) {
  const auto [scales, minima] = scales_and_minima(b);
  const auto fifth = unpack(bytes(b, 16, 32), 8, 1, 1) * 16;
  return joined(scales * (grouped_nibbles(bytes(b, 48, 128)) + fifth).to(at::kFloat) - minima);
}

at::Tensor q6_k(const at::Tensor& b) {
  const auto scale = half_at(b, 208) * bytes(b, 192, 16).contiguous().view(at::kChar).to(at::kFloat).unsqueeze(2);
  const auto low = bytes(b, 0, 128)
                       .unflatten(1, {2, 1, 64})
                       .bitwise_right_shift(shifts(b, 2, 4).view({1, 1, 2, 1}))
                       .bitwise_and(15)
                       .reshape({b.size(0), 16, 16});
  const auto high = pairs_of_bits(bytes(b, 128, 64)) * 16;
  return joined(scale * ((low + high).to(at::kFloat) - 32));
}

at::Tensor float8(const at::Tensor& b, at::ScalarType type) {
  return b.contiguous().view(type).to(at::kFloat);
}
at::Tensor e4m3(const at::Tensor& b) {
  return float8(b, at::ScalarType::Float8_e4m3fn);
}
at::Tensor e5m2(const at::Tensor& b) {
  return float8(b, at::ScalarType::Float8_e5m2);
}

struct Decoder {
  std::string_view format;
  Decode decode;
};
constexpr Decoder kDecoders[] = {{"Q4_0", &q4_0}, {"Q4_1", &q4_1}, {"Q5_0", &q5_0},          {"Q5_1", &q5_1},
                                 {"Q8_0", &q8_0}, {"Q2_K", &q2_k}, {"Q3_K", &q3_k},          {"Q4_K", &q4_k},
                                 {"Q5_K", &q5_k}, {"Q6_K", &q6_k}, {"Float8_e4m3fn", &e4m3}, {"Float8_e5m2", &e5m2}};

}  // namespace

at::Tensor decode_by_operators(const BlockFormat& format, const at::Tensor& blocks) {
  for (const auto& decoder : kDecoders) {
    if (decoder.format != format.name) continue;
    return decoder.decode(blocks.reshape({-1, format.bytes})).reshape({blocks.size(0), -1});
  }
  throw Error(ErrorCode::kInternal, concat("no operators decode ", std::string(format.name)));
}

}  // namespace easel
