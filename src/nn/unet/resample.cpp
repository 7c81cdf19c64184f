#include "nn/unet/resample.h"

#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/upsample_nearest2d.h>

namespace easel {
namespace {

// CUDA's channels_last kernel fails beyond these (diffusers issue 984, PyTorch issue 141831).
constexpr std::int64_t kMaxChannelsLastBatch = 63;
constexpr std::int64_t kMaxChannelsLastOutput = std::int64_t{1} << 31;

}  // namespace

Downsample2D::Downsample2D(const ModuleScope& scope, std::int64_t channels, std::int64_t padding)
    : conv_(scope / "conv", channels, channels, {.kernel = 3, .stride = 2, .padding = padding}),
      pad_after_(padding == 0) {}

at::Tensor Downsample2D::operator()(const at::Tensor& x, const RunContext& ctx) const {
  return conv_(pad_after_ ? at::constant_pad_nd(x, {0, 1, 0, 1}) : x, ctx);
}

at::Tensor upsample_nearest(const at::Tensor& x, std::array<std::int64_t, 2> size) {
  const auto output = x.size(0) * x.size(1) * size[0] * size[1];
  const bool beyond = x.size(0) > kMaxChannelsLastBatch || output > kMaxChannelsLastOutput;
  return at::upsample_nearest2d(beyond ? x.contiguous() : x, size);
}

Upsample2D::Upsample2D(const ModuleScope& scope, std::int64_t channels) : conv_(scope / "conv", channels, channels) {}

at::Tensor Upsample2D::operator()(const at::Tensor& x, std::array<std::int64_t, 2> size, const RunContext& ctx) const {
  return conv_(upsample_nearest(x, size), ctx);
}

}  // namespace easel
