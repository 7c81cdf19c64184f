#include "nn/layers.h"

#include <ATen/ops/conv2d.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/group_norm.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linear.h>

namespace easel {
Linear::Linear(const WeightScope& scope, std::int64_t in_features, std::int64_t out_features, Bias bias)
    : weight_(scope.take("weight", {out_features, in_features})) {
  if (bias == Bias::kPresent) bias_ = scope.take("bias", {out_features});
}

at::Tensor Linear::operator()(const at::Tensor& x) const {
  return at::linear(x, weight_, bias_);
}

Conv2d::Conv2d(const WeightScope& scope, std::int64_t in_channels, std::int64_t out_channels, Conv2dOptions options)
    : weight_(scope.take("weight", {out_channels, in_channels, options.kernel, options.kernel},
                         at::MemoryFormat::ChannelsLast)),
      options_(options) {
  if (options.bias == Bias::kPresent) bias_ = scope.take("bias", {out_channels});
}

at::Tensor Conv2d::operator()(const at::Tensor& x) const {
  return at::conv2d(x, weight_.get(), bias_, {options_.stride, options_.stride}, {options_.padding, options_.padding});
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
    : weight_(scope.take("weight", {count, features})) {}

at::Tensor Embedding::operator()(const at::Tensor& indices) const {
  return at::embedding(weight_, indices);
}

at::Tensor Embedding::first(std::int64_t n) const {
  return weight_.narrow(0, 0, n);
}

}  // namespace easel
