#include "nn/meta_run.h"

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <c10/core/Allocator.h>
#include <torch/library.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <tuple>

#include "easel/error.h"
#include "nn/kernels/blocked_attention.h"
#include "nn/kernels/winograd.h"
#include "nn/onednn_scratch.h"
#include "nn/packed_weight.h"
#include "tensor/placement.h"

namespace easel {

struct MetaRun::Tally {
  c10::DeviceType simulated;
  std::int64_t live = 0;
  std::int64_t peak = 0;
};

namespace {

// An allocator and a kernel get no argument that could carry it, so the current run is found by its thread.
thread_local std::shared_ptr<MetaRun::Tally> current_tally;

/// A tensor's bytes, which do not exist. They are charged to the run that they were allocated in, which they may
/// outlive.
struct Block {
  std::shared_ptr<MetaRun::Tally> tally;
  std::int64_t bytes;
};

void free_block(void* context) {
  const std::unique_ptr<Block> block(static_cast<Block*>(context));
  block->tally->live -= block->bytes;
}

class MetaAllocator : public c10::Allocator {
 public:
  c10::DataPtr allocate(std::size_t bytes) override {
    const c10::Device meta(c10::kMeta);
    if (!current_tally) return {nullptr, nullptr, [](void*) {}, meta};
    auto& tally = *current_tally;
    tally.live += static_cast<std::int64_t>(bytes);
    tally.peak = std::max(tally.peak, tally.live);
    auto* block = new Block{current_tally, static_cast<std::int64_t>(bytes)};
    return {nullptr, block, &free_block, meta};
  }
  void copy_data(void*, const void*, std::size_t) const override {}
};

bool simulates_cuda() {
  return current_tally && current_tally->simulated == c10::kCUDA;
}

std::int64_t conv_output_size(std::int64_t size, std::int64_t kernel, std::int64_t stride, std::int64_t padding) {
  return (size + 2 * padding - kernel) / stride + 1;
}

/// Both devices compute in channels_last if the weight is stored that way, and copy an input that is not. On a CPU
/// whose arithmetic oneDNN supports, oneDNN reorders the weight for the call and takes scratch memory; on others,
/// libtorch's own convolution copies every window of the input.
at::Tensor convolution(const at::Tensor& input, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                       at::IntArrayRef stride, at::IntArrayRef padding, at::IntArrayRef dilation, bool transposed,
                       at::IntArrayRef output_padding, std::int64_t groups) {
  const auto channels_last = input.contiguous(at::MemoryFormat::ChannelsLast);  // lives through the call
  const auto size = [&](std::int64_t axis) {
    const auto in = input.size(axis), kernel = weight.size(axis), step = stride[axis - 2], pad = padding[axis - 2];
    return transposed ? (in - 1) * step - 2 * pad + kernel + output_padding[axis - 2]
                      : conv_output_size(in, kernel, step, pad);
  };
  const auto channels = transposed ? weight.size(1) * groups : weight.size(0);
  const auto out = at::empty({input.size(0), channels, size(2), size(3)},
                             input.options().memory_format(at::MemoryFormat::ChannelsLast));
  if (simulates_cuda()) return out;
  const bool pointwise = weight.size(2) == 1 && weight.size(3) == 1 && stride[0] == 1 && stride[1] == 1;
  const auto threads = at::get_num_threads();
  const auto shape = convolution_shape(input, weight, stride[0], padding[0]);
  if (!transposed && uses_winograd(shape, input.scalar_type())) {
    // A packed weight is copied first.
    const bool packed = packs_convolutions(weight.scalar_type());
    const auto plain = packed ? at::empty(weight.sizes(), weight.options()) : at::Tensor();
    at::empty({winograd_bytes(shape, input.scalar_type(), packed, threads)}, input.options().dtype(at::kByte));
  } else if (cpu_supports(input.scalar_type())) {
    // Of a weight that is not packed, oneDNN makes a copy for the call.
    const bool packed = !transposed && weight.size(2) > 1 && packs_convolutions(weight.scalar_type());
    const auto reordered = packed ? at::Tensor() : at::empty(weight.sizes(), weight.options());
    const OneDnnConvolution call{.batch = input.size(0),
                                 .in_channels = input.size(1),
                                 .out_channels = channels,
                                 .out_height = size(2),
                                 .out_width = size(3),
                                 .kernel = weight.size(2),
                                 .stride = stride[0],
                                 .padding = padding[0]};
    if (!transposed)
      at::empty({convolution_scratch_bytes(call, onednn_kernels(input.scalar_type()), threads)},
                input.options().dtype(at::kByte));
  } else if (!pointwise) {
    at::empty({input.size(0), weight.size(1) * weight.size(2) * weight.size(3), size(2) * size(3)}, input.options());
  }
  return out;
}

at::Tensor reflection_pad2d(const at::Tensor& input, at::IntArrayRef padding) {
  return at::empty(
      {input.size(0), input.size(1), input.size(2) + padding[2] + padding[3], input.size(3) + padding[0] + padding[1]},
      input.options().memory_format(input.suggest_memory_format()));
}

/// libtorch's own meta kernel adds the bias to a copy, which no other device does.
at::Tensor linear(const at::Tensor& input, const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
  auto shape = input.sizes().vec();
  shape.back() = weight.size(0);
  return at::empty(shape, input.contiguous().options());
}

at::Tensor embedding(const at::Tensor& weight, const at::Tensor& indices, std::int64_t padding_idx,
                     bool scale_grad_by_freq, bool sparse) {
  auto shape = indices.sizes().vec();
  shape.push_back(weight.size(1));
  return at::empty(shape, weight.options());
}

/// CUDA's kernel supports only the contiguous layout; the CPU's keeps the layout of the input.
at::Tensor group_norm(const at::Tensor& input, std::int64_t groups, const std::optional<at::Tensor>& weight,
                      const std::optional<at::Tensor>& bias, double eps, bool cudnn_enabled) {
  return at::empty_like(simulates_cuda() ? input.contiguous() : input);
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> layer_norm(const at::Tensor& input, at::IntArrayRef shape,
                                                          const std::optional<at::Tensor>& weight,
                                                          const std::optional<at::Tensor>& bias, double eps) {
  const auto rows = at::empty({input.numel() / input.size(-1)}, input.options().dtype(at::kFloat));
  return {at::empty_like(input, at::MemoryFormat::Contiguous), rows, at::empty_like(rows)};
}

/// The fused kernels and easel's own, which never hold the scores of all pairs. The memory of the result is [B, L,
/// heads, D].
at::Tensor attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                     const std::optional<at::Tensor>& attn_mask, double dropout_p, bool is_causal,
                     std::optional<double> scale, bool enable_gqa) {
  // Wider heads use CUDA's memory-efficient kernel, which accumulates half precision in a float32 buffer.
  constexpr std::int64_t kWidestFlashHead = 256;
  const auto options = query.options();
  const std::vector<std::int64_t> shape{query.size(0), query.size(2), query.size(1), value.size(3)};
  const auto dtype = query.scalar_type();
  const bool own = !simulates_cuda() && !is_causal && is_bias_per_key(attn_mask.value_or(at::Tensor())) &&
                   has_blocked_attention(dtype, query.size(3));
  const auto scratch =
      own ? at::empty({blocked_attention_bytes(dtype, query.size(0), query.size(1), key.size(2), query.size(3))},
                      options.dtype(at::kByte))
          : at::empty({query.size(0), query.size(1), query.size(2)},
                      options.dtype(at::kFloat));  // sums of exponentials
  const auto out = at::empty(shape, options);
  if (simulates_cuda() && query.scalar_type() != at::kFloat && query.size(3) > kWidestFlashHead) {
    at::empty(shape, options.dtype(at::kFloat));
  }
  return out.transpose(1, 2);
}

constexpr std::uint8_t kHighestPriority = 255;  // c10::SetAllocator ignores a lower priority than the last one

/// What is installed while any MetaKernels live.
struct Installation {
  std::mutex mutex;  // guards what follows
  int owners = 0;
  MetaAllocator allocator;
  c10::Allocator* former_allocator = nullptr;
  std::optional<torch::Library> kernels;
};

Installation& installation() {
  static auto* shared = new Installation;  // outlives every tensor, whose storage may point to the allocator
  return *shared;
}

/// What the Python part of torch would register.
void register_kernels(torch::Library& kernels) {
  kernels.impl("convolution", &convolution);
  kernels.impl("reflection_pad2d", &reflection_pad2d);
  kernels.impl("linear", &linear);
  kernels.impl("embedding", &embedding);
  kernels.impl("group_norm", &group_norm);
  kernels.impl("native_layer_norm", &layer_norm);
  kernels.impl("scaled_dot_product_attention", &attention);
}

}  // namespace

MetaKernels::MetaKernels() {
  auto& shared = installation();
  const std::scoped_lock lock(shared.mutex);
  if (++shared.owners > 1) return;
  register_kernels(shared.kernels.emplace(torch::Library::IMPL, "aten", c10::DispatchKey::Meta, __FILE__, __LINE__));
  shared.former_allocator = c10::GetAllocator(c10::kMeta);
  c10::SetAllocator(c10::kMeta, &shared.allocator, kHighestPriority);
}

MetaKernels::~MetaKernels() {
  auto& shared = installation();
  const std::scoped_lock lock(shared.mutex);
  if (--shared.owners > 0) return;
  c10::SetAllocator(c10::kMeta, shared.former_allocator, kHighestPriority);
  shared.kernels.reset();
}

MetaRun::MetaRun(c10::DeviceType simulated) : tally_(std::make_shared<Tally>(Tally{.simulated = simulated})) {
  if (current_tally) throw Error(ErrorCode::kInternal, "a thread has one MetaRun at a time");
  current_tally = tally_;
}

MetaRun::~MetaRun() {
  current_tally.reset();
}

std::int64_t MetaRun::peak_bytes() const {
  return tally_->peak;
}

std::int64_t MetaRun::live_bytes() const {
  return tally_->live;
}

void MetaRun::reset_peak() {
  tally_->peak = tally_->live;
}

}  // namespace easel
