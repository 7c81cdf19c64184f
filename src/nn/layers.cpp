#include "nn/layers.h"

#include <ATen/ops/empty_like.h>
#include <ATen/ops/group_norm.h>
#include <ATen/ops/layer_norm.h>

#include "nn/adapter_set.h"
#include "nn/kernels/winograd.h"
#include "nn/layer_adapter.h"
#include "nn/packed_weight.h"
#include "nn/prompt_projections.h"

namespace easel {
namespace {

const LayerAdapters* adapters_of(const std::shared_ptr<const LayerSlot>& slot, const RunContext& ctx) {
  return ctx.adapters == nullptr ? nullptr : ctx.adapters->find(slot);
}

at::Tensor run_with_adapters(const LayerCall& call, const std::shared_ptr<const LayerSlot>& slot,
                             const RunContext& ctx) {
  const auto* adapters = adapters_of(slot, ctx);
  return adapters == nullptr ? run_layer(call) : apply_adapters(*adapters, call);
}

/// What prepares the weight of a linear layer. A weight that is kept in a smaller dtype is converted at each call, so
/// it stays plain.
WeightConversion linear_packing(const Placement& placement) {
  return [dtype = placement.dtype](const at::Tensor& weight) {
    return weight.scalar_type() == dtype ? pack_linear_weight(weight) : weight;
  };
}

/// The same for a convolution, whose weight is channels_last unless it is packed.
WeightConversion convolution_packing(const Placement& placement, const Conv2dOptions& options) {
  return [dtype = placement.dtype, options](const at::Tensor& weight) {
    const auto packed =
        weight.scalar_type() == dtype ? pack_convolution_weight(weight, options.stride, options.padding) : weight;
    return is_packed(packed) ? packed : packed.contiguous(at::MemoryFormat::ChannelsLast);
  };
}

/// The layout of a convolution's weight before it is packed, which takes either: the stored one then costs no copy.
at::MemoryFormat unpacked_format(const Placement& placement, std::int64_t kernel) {
  const bool packs = placement.device.is_cpu() && kernel > 1 && packs_convolutions(placement.dtype);
  return packs ? at::MemoryFormat::Contiguous : at::MemoryFormat::ChannelsLast;
}

}  // namespace

Linear::Linear(const ModuleScope& scope, std::int64_t in_features, std::int64_t out_features, Bias bias)
    : weight_(scope.take_layer("weight", {out_features, in_features}, linear_packing(scope.placement()))),
      dtype_(scope.placement().dtype),
      slot_(scope.layer({out_features, in_features})) {
  if (bias == Bias::kPresent) bias_ = scope.take("bias", {out_features});
}

at::Tensor Linear::operator()(const at::Tensor& x, const RunContext& ctx) const {
  const auto used = weight_.whole(x.scalar_type());
  const auto bias = bias_.defined() ? bias_.to(x.scalar_type()) : bias_;
  const LayerCall call{.input = x, .weight = used, .bias = bias};
  return run_with_adapters(call, slot_, ctx);
}

at::Tensor Linear::of_prompts(const at::Tensor& prompts, const RunContext& ctx) const {
  const PromptPart all{.first = 0, .count = prompts.size(0), .tokens = prompts.size(1)};
  return once_per_prompt(*slot_, all, ctx, [&](const PromptPart& part) { return (*this)(part.of(prompts), ctx); });
}

Conv2d::Conv2d(const ModuleScope& scope, std::int64_t in_channels, std::int64_t out_channels, Conv2dOptions options)
    : weight_(scope.take_deferred("weight", {out_channels, in_channels, options.kernel, options.kernel},
                                  unpacked_format(scope.placement(), options.kernel),
                                  convolution_packing(scope.placement(), options))),
      dtype_(scope.placement().dtype),
      options_(options),
      slot_(scope.layer({out_channels, in_channels, options.kernel, options.kernel})) {
  if (options.bias == Bias::kPresent) bias_ = scope.take("bias", {out_channels});
}

at::Tensor Conv2d::weight() const {
  const auto& stored = weight_.get();
  // The format is given again because a 1 x 1 kernel satisfies both layouts, and its strides decide which of
  // libtorch's convolutions runs.
  constexpr auto kFormat = at::MemoryFormat::ChannelsLast;
  return stored.scalar_type() == dtype_ ? stored : stored.to(dtype_, /*non_blocking=*/false, /*copy=*/false, kFormat);
}

at::Tensor Conv2d::operator()(const at::Tensor& x, const RunContext& ctx) const {
  const auto used = weight();
  // A weight that is converted for the call is not packed, so oneDNN copies it. A run on the meta device, which counts
  // only what is allocated here, cannot see that. Winograd's algorithm makes no such copy.
  const bool is_copied = used.is_meta() && packs_convolutions(dtype_) && !used.is_same(weight_.get()) &&
                         !uses_winograd(convolution_shape(x, used, options_.stride, options_.padding), dtype_);
  const auto copy = is_copied ? at::empty_like(used) : at::Tensor();
  const LayerCall call{
      .input = x, .weight = used, .bias = bias_, .stride = options_.stride, .padding = options_.padding};
  return run_with_adapters(call, slot_, ctx);
}

GroupNorm::GroupNorm(const ModuleScope& scope, std::int64_t groups, std::int64_t channels, double eps)
    : weight_(scope.take("weight", {channels})),
      bias_(scope.take("bias", {channels})),
      groups_(groups),
      eps_(eps),
      slot_(scope.layer({channels})) {}

at::Tensor GroupNorm::operator()(const at::Tensor& x, const RunContext& ctx) const {
  auto normed = at::group_norm(x, groups_, weight_, bias_, eps_);
  if (const auto* adapters = adapters_of(slot_, ctx)) {
    const auto change = norm_change(*adapters, weight_);
    normed.add_(at::group_norm(x, groups_, change.weight, change.bias, eps_));
  }
  return normed;
}

LayerNorm::LayerNorm(const ModuleScope& scope, std::int64_t features, double eps)
    : weight_(scope.take("weight", {features})),
      bias_(scope.take("bias", {features})),
      eps_(eps),
      slot_(scope.layer({features})) {}

at::Tensor LayerNorm::operator()(const at::Tensor& x, const RunContext& ctx) const {
  auto normed = at::layer_norm(x, weight_.sizes(), weight_, bias_, eps_);
  if (const auto* adapters = adapters_of(slot_, ctx)) {
    const auto change = norm_change(*adapters, weight_);
    normed.add_(at::layer_norm(x, weight_.sizes(), change.weight, change.bias, eps_));
  }
  return normed;
}

Embedding::Embedding(const ModuleScope& scope, std::int64_t count, std::int64_t features)
    : weight_(scope.take_layer("weight", {count, features})), dtype_(scope.placement().dtype) {}

at::Tensor Embedding::operator()(const at::Tensor& indices) const {
  return weight_.rows(indices, dtype_);
}

at::Tensor Embedding::first(std::int64_t n) const {
  return weight_.first(n, dtype_);
}

}  // namespace easel
