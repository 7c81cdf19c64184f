#include "nn/kernels/blocked_attention.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numbers>

#include "nn/kernels/attention_kernel.h"
#include "nn/kernels/instruction_set.h"
#include "tensor/parallel.h"

namespace easel {
namespace {

using kernels::AttentionHead;
using kernels::AttentionKernel;

const AttentionKernel* find_attention_kernel(c10::ScalarType dtype) {
#if defined(__x86_64__)
  switch (instructions_for(dtype)) {
    case InstructionSet::kAvx2:
      return &kernels::float32_attention_avx2();
    case InstructionSet::kAvx512:
      return &kernels::float32_attention_avx512();
    case InstructionSet::kAvx512BFloat16:
      return &kernels::bfloat16_attention_avx512();
    case InstructionSet::kNone:
      break;
  }
#endif
  return nullptr;
}

const AttentionKernel* kernel_for(c10::ScalarType dtype) {
  static const AttentionKernel* const float32 = find_attention_kernel(at::kFloat);
  static const AttentionKernel* const bfloat16 = find_attention_kernel(at::kBFloat16);
  return dtype == at::kFloat ? float32 : dtype == at::kBFloat16 ? bfloat16 : nullptr;
}

/// The start of a head's rows.
const std::byte* head_of(const at::Tensor& rows, std::int64_t image, std::int64_t head, std::int64_t width) {
  const auto elements = image * rows.stride(0) + head * width;
  return static_cast<const std::byte*>(rows.const_data_ptr()) + elements * rows.element_size();
}

/// Rows whose numbers are adjacent, with an even distance between rows: the kernels read pairs of bfloat16.
at::Tensor as_rows(const at::Tensor& x) {
  return x.stride(2) == 1 && x.stride(1) % 2 == 0 && x.storage_offset() % 2 == 0 ? x : x.contiguous();
}

/// The bias as the kernels take it, which add it before the scores are scaled. @return float32 [B, keys] or [1, keys]
at::Tensor bias_of_scores(const at::Tensor& bias, std::int64_t keys, std::int64_t width) {
  constexpr auto kNever = -std::numeric_limits<float>::infinity();
  const auto rows = bias.reshape({bias.size(0), bias.size(3)}).expand({bias.size(0), keys});
  const auto added = rows.scalar_type() == at::kBool
                         ? at::zeros(rows.sizes(), rows.options().dtype(at::kFloat)).masked_fill_(~rows, kNever)
                         : rows.to(at::kFloat).mul(std::sqrt(static_cast<double>(width)));
  return added.contiguous();
}

}  // namespace

bool has_blocked_attention(c10::ScalarType dtype, std::int64_t head_width) {
  return kernel_for(dtype) != nullptr && head_width > 0 && head_width % 2 == 0 &&
         head_width <= kernels::kAttentionWidest;
}

at::Tensor blocked_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                             std::int64_t heads, const at::Tensor& bias) {
  const auto& kernel = *kernel_for(query.scalar_type());
  const auto q = as_rows(query), k = as_rows(key), v = as_rows(value);
  const auto images = q.size(0), queries = q.size(1), keys = k.size(1), width = q.size(2) / heads;
  const auto key_bytes = kernel.packed_key_bytes(keys, width), value_bytes = kernel.packed_value_bytes(keys, width);
  const auto bytes = q.options().dtype(at::kByte);
  const auto packed_keys = at::empty({images * heads * key_bytes}, bytes);
  const auto packed_values = at::empty({images * heads * value_bytes}, bytes);
  auto* const key_memory = packed_keys.mutable_data_ptr<std::uint8_t>();
  auto* const value_memory = packed_values.mutable_data_ptr<std::uint8_t>();
  parallel_for(0, images * heads, 1, [&](std::int64_t begin, std::int64_t end) {
    for (auto i = begin; i < end; ++i) {
      kernel.pack_keys(head_of(k, i / heads, i % heads, width), k.stride(1), keys, width, key_memory + i * key_bytes);
      kernel.pack_values(head_of(v, i / heads, i % heads, width), v.stride(1), keys, width,
                         value_memory + i * value_bytes);
    }
  });

  auto output = at::empty({images, queries, heads * width}, q.options());
  auto* const output_memory = static_cast<std::byte*>(output.mutable_data_ptr());
  const auto score_bias = bias.defined() ? bias_of_scores(bias, keys, width) : at::Tensor();
  const auto scale = static_cast<float>(std::numbers::log2e / std::sqrt(static_cast<double>(width)));
  const auto blocks = (queries + kernels::kAttentionQueries - 1) / kernels::kAttentionQueries;
  parallel_for(0, images * heads * blocks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (auto i = begin; i < end; ++i) {
      const auto index = i / blocks, first = i % blocks * kernels::kAttentionQueries;
      const auto image = index / heads, number = index % heads;
      const AttentionHead head{
          .query = head_of(q, image, number, width),
          .query_stride = q.stride(1),
          .packed_keys = key_memory + index * key_bytes,
          .packed_values = value_memory + index * value_bytes,
          .bias = score_bias.defined()
                      ? score_bias.const_data_ptr<float>() + (score_bias.size(0) > 1 ? image * keys : 0)
                      : nullptr,
          .keys = keys,
          .width = width,
          .scale = scale,
          .output = output_memory + (image * output.stride(0) + number * width) * output.element_size(),
          .output_stride = output.stride(1)};
      kernel.run(head, first, std::min(kernels::kAttentionQueries, queries - first));
    }
  });
  return output;
}

std::int64_t blocked_attention_bytes(c10::ScalarType dtype, std::int64_t images, std::int64_t heads, std::int64_t keys,
                                     std::int64_t head_width) {
  const auto* kernel = kernel_for(dtype);
  if (kernel == nullptr) return 0;
  return images * heads * (kernel->packed_key_bytes(keys, head_width) + kernel->packed_value_bytes(keys, head_width));
}

}  // namespace easel
