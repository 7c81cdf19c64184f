#include "nn/layer_adapter.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/einsum.h>
#include <ATen/ops/kron.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>

#include <limits>
#include <numeric>
#include <utility>

namespace easel {
namespace {

at::Tensor rows(const at::Tensor& factor) {  // [r, ...] -> [r, n]
  return factor.reshape({factor.size(0), -1});
}

/// A core [r, r, k, k] between a [r, out] and b [r, in]. @return [out, in, k, k]
at::Tensor rebuild(const at::Tensor& core, const at::Tensor& a, const at::Tensor& b) {
  return at::einsum("ijkl,ip,jr->prkl", {core, a, b});
}

at::Tensor product(const LowRank& change, at::IntArrayRef shape) {
  if (change.mid.defined()) return rebuild(change.mid, rows(change.up).t(), rows(change.down));
  return at::matmul(rows(change.up), rows(change.down)).reshape(shape);
}

at::Tensor product(const HadamardProduct& change, at::IntArrayRef shape) {
  if (change.t1.defined()) {
    return rebuild(change.t1, change.w1_a, change.w1_b).mul_(rebuild(change.t2, change.w2_a, change.w2_b));
  }
  return at::matmul(change.w1_a, change.w1_b).mul_(at::matmul(change.w2_a, change.w2_b)).reshape(shape);
}

at::Tensor whole(const KroneckerFactor& factor) {
  if (factor.whole.defined()) return factor.whole;
  return factor.t.defined() ? rebuild(factor.t, factor.a, factor.b) : at::matmul(factor.a, factor.b);
}

at::Tensor product(const KroneckerProduct& change, at::IntArrayRef shape) {
  const auto w1 = whole(change.w1);  // [a, c]
  const auto w2 = whole(change.w2);  // [b, d], [b, d * k * k] or [b, d, k, k]
  // Windows are the last index, so a flat [b, d * k * k] and [b, d, k, k] give the same numbers in the same order.
  return at::kron(w1, rows(w2)).reshape(shape);
}

/// The layer's own operation with another weight, and without bias.
at::Tensor operate(const LayerCall& call, const at::Tensor& input, const at::Tensor& weight) {
  if (weight.dim() == 2) return at::linear(input, weight);
  return at::conv2d(input, weight, /*bias=*/{}, {call.stride, call.stride}, {call.padding, call.padding});
}

at::Tensor pass_through(const LowRank& change, const LayerCall& call) {
  if (change.down.dim() == 2) return at::linear(at::linear(call.input, change.down), change.up, change.up_bias);
  const auto window = operate(call, change.mid.defined() ? at::conv2d(call.input, change.down) : call.input,
                              change.mid.defined() ? change.mid : change.down);
  return at::conv2d(window, change.up, change.up_bias);
}

/// Lengths of a weight's rows, or of its columns, with the dimensions of `like`.
at::Tensor lengths_of(const at::Tensor& weight, const at::Tensor& like) {
  std::vector<std::int64_t> others;
  for (std::int64_t d = 0; d < weight.dim(); ++d) {
    if (like.size(d) == 1) others.push_back(d);
  }
  if (like.numel() == 1 && weight.size(0) == 1) others.erase(others.begin());  // a single row
  return at::linalg_vector_norm(weight, 2, others, /*keepdim=*/true);
}

/// One number an output, to be multiplied with what the layer gives.
at::Tensor by_channel(const at::Tensor& lengths) {  // [out, 1...] -> [out], [1, out, 1, 1]
  return lengths.dim() == 2 ? lengths.flatten() : lengths.transpose(0, 1);
}

at::Tensor adapt_as_peft(const LayerAdapter& adapter, const LayerCall& call, at::Tensor output, double weight) {
  const auto& lengths = adapter.magnitude->lengths;
  const auto changed = call.weight + delta_weight(adapter, call.weight.sizes()).mul_(weight);
  const auto gain = by_channel(lengths / lengths_of(changed, lengths));
  const auto change = pass_through(std::get<LowRank>(adapter.change), call);
  auto base = output;
  if (call.bias.defined()) base = output - (output.dim() == 4 ? call.bias.view({1, -1, 1, 1}) : call.bias);
  return output.add_((gain - 1).mul(base).add_((gain * change).mul_(adapter.scale * weight)));
}

at::Tensor adapt_as_lycoris(const LayerAdapter& adapter, const LayerCall& call, at::Tensor output, double weight) {
  auto delta = delta_weight(adapter, call.weight.sizes());
  if (adapter.magnitude) {
    const auto& lengths = adapter.magnitude->lengths;
    const auto changed = delta.add_(call.weight);
    const double epsilon = call.weight.scalar_type() == at::kFloat  ? std::numeric_limits<float>::epsilon()
                           : call.weight.scalar_type() == at::kHalf ? 0x1p-10
                                                                    : 0x1p-7;
    auto gain = lengths / lengths_of(changed, lengths).add_(epsilon);
    if (weight != 1) gain = gain.sub_(1).mul_(weight).add_(1);
    return output.add_(operate(call, call.input, changed * gain - call.weight));
  }
  return output.add_(operate(call, call.input, delta.mul_(weight)));
}

at::Tensor adapt_once(const WeightedAdapter& use, const LayerCall& call, at::Tensor output) {
  const auto& adapter = *use.adapter;
  if (adapter.magnitude && adapter.magnitude->rule == Magnitude::Rule::kPeft) {
    return adapt_as_peft(adapter, call, std::move(output), use.weight);
  }
  const auto* low_rank = std::get_if<LowRank>(&adapter.change);
  if (low_rank != nullptr && !adapter.magnitude) {
    return output.add_(pass_through(*low_rank, call).mul_(adapter.scale * use.weight));
  }
  return adapt_as_lycoris(adapter, call, std::move(output), use.weight);
}

}  // namespace

at::Tensor delta_weight(const LayerAdapter& adapter, at::IntArrayRef shape) {
  return std::visit([&](const auto& change) { return product(change, shape); }, adapter.change).mul_(adapter.scale);
}

at::Tensor adapt(const LayerAdapters& adapters, const LayerCall& call, at::Tensor output) {
  for (const auto& use : adapters.uses) output = adapt_once(use, call, std::move(output));
  return output;
}

}  // namespace easel
