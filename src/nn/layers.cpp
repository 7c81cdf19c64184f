#include "nn/layers.h"

#include <ATen/ops/embedding.h>
#include <ATen/ops/group_norm.h>
#include <ATen/ops/layer_norm.h>

#include "nn/layer_adapter.h"

namespace easel {

Linear::Linear(const WeightScope& scope, std::int64_t in_features, std::int64_t out_features, Bias bias)
    : weight_(scope.take_deferred("weight", {out_features, in_features})),
      dtype_(scope.placement().dtype),
      slot_(scope.layer({out_features, in_features})) {
  if (bias == Bias::kPresent) bias_ = scope.take("bias", {out_features});
}

at::Tensor Linear::operator()(const at::Tensor& x) const {
  const auto used = weight();
  const LayerCall call{.input = x, .weight = used, .bias = bias_};
  return slot_->adapters == nullptr ? run_layer(call) : apply_adapters(*slot_->adapters, call);
}

at::Tensor Linear::weight() const {
  return weight_.get().to(dtype_);
}

Conv2d::Conv2d(const WeightScope& scope, std::int64_t in_channels, std::int64_t out_channels, Conv2dOptions options)
    : weight_(scope.take_deferred("weight", {out_channels, in_channels, options.kernel, options.kernel},
                                  at::MemoryFormat::ChannelsLast)),
      dtype_(scope.placement().dtype),
      options_(options),
      slot_(scope.layer({out_channels, in_channels, options.kernel, options.kernel})) {
  if (options.bias == Bias::kPresent) bias_ = scope.take("bias", {out_channels});
}

at::Tensor Conv2d::weight() const {
  const auto& kept = weight_.get();
  // The format is said again, for a kernel of one pixel looks laid out either way, and the strides choose among the
  // convolution's kernels.
  constexpr auto kFormat = at::MemoryFormat::ChannelsLast;
  return kept.scalar_type() == dtype_ ? kept : kept.to(dtype_, /*non_blocking=*/false, /*copy=*/false, kFormat);
}

at::Tensor Conv2d::operator()(const at::Tensor& x) const {
  const auto used = weight();
  const LayerCall call{
      .input = x, .weight = used, .bias = bias_, .stride = options_.stride, .padding = options_.padding};
  return slot_->adapters == nullptr ? run_layer(call) : apply_adapters(*slot_->adapters, call);
}

GroupNorm::GroupNorm(const WeightScope& scope, std::int64_t groups, std::int64_t channels, double eps)
    : weight_(scope.take("weight", {channels})), bias_(scope.take("bias", {channels})), groups_(groups), eps_(eps) {}

at::Tensor GroupNorm::operator()(const at::Tensor& x) const {
  return at::group_norm(x, groups_, weight_, bias_, eps_);
}

LayerNorm::LayerNorm(const WeightScope& scope, std::int64_t features, double eps)
    : weight_(scope.take("weight", {features})), bias_(scope.take("bias", {features})), eps_(eps) {}

at::Tensor LayerNorm::operator()(const at::Tensor& x) const {
  return at::layer_norm(x, weight_.sizes(), weight_, bias_, eps_);
}

Embedding::Embedding(const WeightScope& scope, std::int64_t count, std::int64_t features)
    : weight_(scope.take_deferred("weight", {count, features})), dtype_(scope.placement().dtype) {}

at::Tensor Embedding::operator()(const at::Tensor& indices) const {
  return at::embedding(weight_.get(), indices).to(dtype_);
}

at::Tensor Embedding::first(std::int64_t n) const {
  return weight_.get().narrow(0, 0, n).to(dtype_);
}

}  // namespace easel
