#include "weights/loading/quantized_weight.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <c10/util/accumulate.h>

#include <algorithm>
#include <span>

#include "tensor/parallel.h"

namespace easel {
namespace {

constexpr float kLargestFloat8 = 448;
/// On other devices, larger pieces, as each operator takes a few microseconds to begin.
constexpr std::int64_t kDecodedAtOnceOnDevices = std::int64_t{1} << 22;
constexpr std::int64_t kValuesPerTask = 1 << 14;

/// @param values  float32 [rows, columns], contiguous, on the CPU
void decode_rows(const QuantizedWeight& weight, std::int64_t first, const at::Tensor& values) {
  const auto columns = values.size(1), row_bytes = weight.blocks.size(1);
  const auto* blocks = weight.blocks.const_data_ptr<std::uint8_t>();
  const auto stride = weight.blocks.stride(0);
  auto* out = values.mutable_data_ptr<float>();
  const float* scale = weight.scale.defined() ? weight.scale.const_data_ptr<float>() : nullptr;
  const bool by_row = scale != nullptr && weight.scale.numel() > 1;
  const auto grain = std::max<std::int64_t>(1, kValuesPerTask / std::max<std::int64_t>(columns, 1));
  parallel_for(0, values.size(0), grain, [&](std::int64_t begin, std::int64_t end) {
    for (auto row = begin; row < end; ++row) {
      const auto* bytes = reinterpret_cast<const std::byte*>(blocks + (first + row) * stride);
      const std::span decoded(out + row * columns, static_cast<std::size_t>(columns));
      decode_blocks(*weight.format, {bytes, static_cast<std::size_t>(row_bytes)}, decoded);
      if (scale == nullptr) continue;
      const float factor = scale[by_row ? first + row : 0];
      for (float& value : decoded) value *= factor;
    }
  });
}

at::Tensor scaled(const QuantizedWeight& part, const at::Tensor& values) {
  return part.scale.defined() ? values.mul(part.scale) : values;
}

}  // namespace

at::Tensor QuantizedWeight::decode(c10::ScalarType dtype) const {
  const auto rows = blocks.size(0), columns = blocks.size(1) / format->bytes * format->values;
  const auto out = at::empty({rows, columns}, blocks.options().dtype(dtype));
  const bool on_cpu = blocks.device().is_cpu();
  const auto at_once = std::max<std::int64_t>(on_cpu ? kDecodedAtOnce : kDecodedAtOnceOnDevices, rows * columns / 16);
  const auto step =
      std::clamp<std::int64_t>(at_once / std::max<std::int64_t>(columns, 1), 1, std::max<std::int64_t>(rows, 1));
  if (on_cpu && dtype == at::kFloat) {
    decode_rows(*this, 0, out);
    return out.view(shape);
  }
  const auto piece = on_cpu ? at::empty({step, columns}, blocks.options().dtype(at::kFloat)) : at::Tensor();
  for (std::int64_t row = 0; row < rows; row += step) {
    const auto count = std::min(step, rows - row);
    if (on_cpu) {
      const auto values = piece.narrow(0, 0, count);
      decode_rows(*this, row, values);
      out.narrow(0, row, count).copy_(values);
    } else {
      const auto part = narrow(row, count);
      out.narrow(0, row, count).copy_(scaled(part, decode_by_operators(*format, part.blocks)));
    }
  }
  return out.view(shape);
}

QuantizedWeight QuantizedWeight::narrow(std::int64_t first, std::int64_t count) const {
  const bool by_row = scale.defined() && scale.numel() > 1;
  return {.format = format,
          .blocks = blocks.narrow(0, first, count),
          .scale = by_row ? scale.narrow(0, first, count) : scale,
          .shape = {count, shape.back()}};
}

QuantizedWeight QuantizedWeight::select(const at::Tensor& indices) const {
  const bool by_row = scale.defined() && scale.numel() > 1;
  return {.format = format,
          .blocks = blocks.index_select(0, indices),
          .scale = by_row ? scale.index_select(0, indices) : scale,
          .shape = {indices.numel(), shape.back()}};
}

QuantizedWeight encode_q8_0(const at::Tensor& weight) {
  const auto& format = *find_block_format("Q8_0");
  const auto rows = weight.size(0), columns = weight.size(1);
  const auto row_bytes = static_cast<std::int64_t>(block_bytes(format, static_cast<std::uint64_t>(columns)));
  const auto blocks = at::empty({rows, row_bytes}, at::TensorOptions().dtype(at::kByte));
  auto* bytes = reinterpret_cast<std::byte*>(blocks.mutable_data_ptr<std::uint8_t>());
  const auto step =
      std::clamp<std::int64_t>(QuantizedWeight::kDecodedAtOnce / columns, 1, std::max<std::int64_t>(rows, 1));
  for (std::int64_t row = 0; row < rows; row += step) {
    const auto count = std::min(step, rows - row);
    const auto values = weight.narrow(0, row, count).to(at::kFloat).contiguous();
    const auto* in = values.const_data_ptr<float>();
    parallel_for(0, count, 1, [&](std::int64_t begin, std::int64_t end) {
      encode_q8_0({in + begin * columns, static_cast<std::size_t>((end - begin) * columns)},
                  {bytes + (row + begin) * row_bytes, static_cast<std::size_t>((end - begin) * row_bytes)});
    });
  }
  return {.format = &format, .blocks = blocks, .scale = {}, .shape = weight.sizes().vec()};
}

QuantizedWeight encode_float8(const at::Tensor& weight) {
  const auto type = at::ScalarType::Float8_e4m3fn;
  const auto values = weight.to(at::kFloat);
  const auto largest = values.numel() == 0 ? 0.0F : values.abs().max().item<float>();
  const auto scale = largest == 0 ? 1.0F : largest / kLargestFloat8;
  const auto blocks = (values / scale).clamp_(-kLargestFloat8, kLargestFloat8).to(type);
  const auto factor = at::empty({1}, at::TensorOptions().dtype(at::kFloat)).fill_(scale);
  return {.format = find_block_format(c10::toString(type)),
          .blocks = blocks.view(at::kByte),
          .scale = factor,
          .shape = weight.sizes().vec()};
}

}  // namespace easel
