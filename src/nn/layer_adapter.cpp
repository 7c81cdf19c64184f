#include "nn/layer_adapter.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/add.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/einsum.h>
#include <ATen/ops/kron.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "nn/affine.h"
#include "nn/kernels/winograd.h"
#include "nn/packed_weight.h"

namespace easel {
namespace {

at::Tensor rows(const at::Tensor& factor) {  // [r, ...] -> [r, n]
  return factor.reshape({factor.size(0), -1});
}

/// A core [r, r, k, k] between a [r, out] and b [r, in]. @return [out, in, k, k]
at::Tensor rebuild_tucker(const at::Tensor& core, const at::Tensor& a, const at::Tensor& b) {
  return at::einsum("ijkl,ip,jr->prkl", {core, a, b});
}

at::Tensor delta(const LowRank& change, at::IntArrayRef shape) {
  if (change.mid.defined()) return rebuild_tucker(change.mid, rows(change.up).t(), rows(change.down));
  return at::matmul(rows(change.up), rows(change.down)).reshape(shape);
}

at::Tensor delta(const HadamardProduct& change, at::IntArrayRef shape) {
  if (change.t1.defined()) {
    return rebuild_tucker(change.t1, change.w1_a, change.w1_b)
        .mul_(rebuild_tucker(change.t2, change.w2_a, change.w2_b));
  }
  return at::matmul(change.w1_a, change.w1_b).mul_(at::matmul(change.w2_a, change.w2_b)).reshape(shape);
}

at::Tensor whole(const KroneckerFactor& factor) {
  if (factor.whole.defined()) return factor.whole;
  return factor.t.defined() ? rebuild_tucker(factor.t, factor.a, factor.b) : at::matmul(factor.a, factor.b);
}

at::Tensor delta(const Difference& change, at::IntArrayRef /*shape*/) {
  return change.weight;
}

at::Tensor delta(const KroneckerProduct& change, at::IntArrayRef shape) {
  const auto w1 = whole(change.w1);  // [a, c]
  const auto w2 = whole(change.w2);  // [b, d], [b, d * k * k] or [b, d, k, k]
  // The window is the last index, so a flat [b, d * k * k] and [b, d, k, k] give the same numbers in the same order.
  return at::kron(w1, rows(w2)).reshape(shape);
}

/// The layer's own operation with another weight and bias.
at::Tensor run_layer(const LayerCall& call, const at::Tensor& input, const at::Tensor& weight,
                     const at::Tensor& bias = {}) {
  if (weight.dim() == 2) return affine(input, weight, bias);
  if (input.device().is_cpu() &&
      uses_winograd(convolution_shape(input, weight, call.stride, call.padding), weight.scalar_type())) {
    return winograd_convolution(input, unpacked(weight), bias);
  }
  if (is_packed(weight)) return packed_convolution(input, weight, bias, call.stride, call.padding);
  return at::conv2d(input, weight, bias, {call.stride, call.stride}, {call.padding, call.padding});
}

at::Tensor apply_factors(const LowRank& change, const LayerCall& call) {
  if (change.down.dim() == 2) return affine(affine(call.input, change.down), change.up, change.up_bias);
  const auto window = run_layer(call, change.mid.defined() ? at::conv2d(call.input, change.down) : call.input,
                                change.mid.defined() ? change.mid : change.down);
  return at::conv2d(window, change.up, change.up_bias);
}

/// The change without its scale. May be a tensor of the adapter itself, so it must not be written.
at::Tensor unscaled_delta(const LayerAdapter& adapter, at::IntArrayRef shape) {
  return std::visit([&](const auto& change) { return delta(change, shape); }, adapter.change);
}

/// Norms of a weight's rows or columns, with the dimensions of `like`.
at::Tensor vector_norms(const at::Tensor& weight, const at::Tensor& like) {
  std::vector<std::int64_t> others;
  for (std::int64_t d = 0; d < weight.dim(); ++d) {
    if (like.size(d) == 1) others.push_back(d);
  }
  if (like.numel() == 1 && weight.size(0) == 1) others.erase(others.begin());  // a single row
  return at::linalg_vector_norm(weight, 2, others, /*keepdim=*/true);
}

double epsilon_of(c10::ScalarType dtype) {
  return dtype == at::kFloat ? std::numeric_limits<float>::epsilon() : dtype == at::kHalf ? 0x1p-10 : 0x1p-7;
}

bool has_rule(const WeightedAdapter& use, Magnitude::Rule rule) {
  return use.adapter->magnitude && use.adapter->magnitude->rule == rule;
}

at::Tensor compute_gain(const WeightedAdapter& use, const at::Tensor& weight) {
  const auto& [lengths, rule] = *use.adapter->magnitude;
  const auto change = unscaled_delta(*use.adapter, weight.sizes());
  if (rule == Magnitude::Rule::kPeft) {
    return lengths / vector_norms(at::add(unpacked(weight), change, use.adapter->scale * use.weight), lengths);
  }
  const auto changed = at::add(unpacked(weight), change, use.adapter->scale);
  auto gain = lengths / vector_norms(changed, lengths).add_(epsilon_of(weight.scalar_type()));
  if (use.weight != 1) gain.sub_(1).mul_(use.weight).add_(1);
  return gain;
}

const at::Tensor& gain_of(const WeightedAdapter& use, const at::Tensor& weight) {
  return use.gain->get([&] { return compute_gain(use, weight); });
}

bool changes_weight(const WeightedAdapter& use) {
  const auto* difference = std::get_if<Difference>(&use.adapter->change);
  return difference == nullptr || difference->weight.defined();
}

/// Whether the input can be passed through the factors, at a fraction of the layer's own cost. For other changes the
/// whole weight delta is computed.
bool can_apply_factors(const WeightedAdapter& use, const LayerAdapters& adapters) {
  if (!std::holds_alternative<LowRank>(use.adapter->change)) return false;
  if (!has_rule(use, Magnitude::Rule::kLycoris)) return true;
  // It scales the output of the layer itself, to which other adapters add. Lengths per input scale the input instead.
  const auto& lengths = use.adapter->magnitude->lengths;
  return adapters.uses.size() == 1 && lengths.numel() == lengths.size(0);
}

/// Whether whole deltas are added to the weight, so that the layer runs once. In half precision this would round small
/// changes away, and PEFT's rule needs the outputs of the layer and of the change separately.
bool should_merge(const LayerAdapters& adapters, const at::Tensor& weight) {
  const auto& uses = adapters.uses;
  const auto is_whole = [&](const auto& use) { return changes_weight(use) && !can_apply_factors(use, adapters); };
  const auto is_peft = [](const auto& use) { return has_rule(use, Magnitude::Rule::kPeft); };
  return weight.scalar_type() == at::kFloat && std::any_of(uses.begin(), uses.end(), is_whole) &&
         std::none_of(uses.begin(), uses.end(), is_peft);
}

/// The whole delta of a change, scaled and weighted.
at::Tensor scaled_delta(const WeightedAdapter& use, const at::Tensor& weight) {
  const auto change = unscaled_delta(*use.adapter, weight.sizes());
  if (!use.adapter->magnitude) return change * (use.adapter->scale * use.weight);
  const auto plain = unpacked(weight);
  return at::add(plain, change, use.adapter->scale).mul_(gain_of(use, plain)).sub_(plain);
}

/// The same, kept if there is room. The tensor of a difference is not computed, only scaled.
at::Tensor kept_scaled_delta(const WeightedAdapter& use, const at::Tensor& weight) {
  const auto compute = [&] { return scaled_delta(use, weight); };
  return std::holds_alternative<Difference>(use.adapter->change) ? compute() : use.delta->get(compute);
}

at::Tensor kept_unscaled_delta(const WeightedAdapter& use, const at::Tensor& weight) {
  const auto compute = [&] { return unscaled_delta(*use.adapter, weight.sizes()); };
  return std::holds_alternative<Difference>(use.adapter->change) ? compute() : use.delta->get(compute);
}

// A layer is always called with the same weight, so that each adapter's delta is kept in one of the two forms only.
at::Tensor merged_weight(const LayerAdapters& adapters, const at::Tensor& weight) {
  auto merged = unpacked(weight);
  for (const auto& use : adapters.uses) {
    if (!changes_weight(use) || can_apply_factors(use, adapters)) continue;
    const auto& adapter = *use.adapter;
    merged = adapter.magnitude ? merged + kept_scaled_delta(use, weight)
                               : at::add(merged, kept_unscaled_delta(use, weight), adapter.scale * use.weight);
  }
  return merged;
}

at::Tensor by_channel(const at::Tensor& gain) {  // [out, 1...] -> [out], [1, out, 1, 1]
  return gain.dim() == 2 ? gain.flatten() : gain.transpose(0, 1);
}

at::Tensor as_output(const at::Tensor& bias, const LayerCall& call) {  // [out] -> [out], [1, out, 1, 1]
  return call.weight.dim() == 2 ? bias : bias.view({1, -1, 1, 1});
}

at::Tensor apply_dora(const WeightedAdapter& use, const LayerCall& call, at::Tensor output) {
  const auto gain = by_channel(gain_of(use, call.weight));
  const auto change = apply_factors(std::get<LowRank>(use.adapter->change), call);
  const auto base = call.bias.defined() ? output - as_output(call.bias, call) : output;
  const double strength = has_rule(use, Magnitude::Rule::kPeft) ? use.weight : 1.0;  // else it is in the gain
  return output.add_((gain - 1).mul(base).add_((gain * change).mul_(use.adapter->scale * strength)));
}

}  // namespace

bool DeltaMemory::take(std::size_t bytes) {
  auto taken = taken_.load();
  do {
    const auto limit = limit_.load();
    if (taken > limit || bytes > limit - taken) return false;
  } while (!taken_.compare_exchange_weak(taken, taken + bytes));
  return true;
}

KeptDelta::~KeptDelta() {
  const MutexLock lock(mutex_);
  if (kept_.defined()) memory_->give_back(kept_.nbytes());
}

at::Tensor KeptDelta::get(c10::function_ref<at::Tensor()> compute) {
  if (!memory_) return compute();
  {
    const MutexLock lock(mutex_);
    if (kept_.defined()) return kept_;
  }
  auto delta = compute();
  const MutexLock lock(mutex_);
  if (!kept_.defined() && memory_->take(delta.nbytes())) kept_ = delta;
  return delta;
}

NormChange norm_change(const LayerAdapters& adapters, const at::Tensor& like) {
  NormChange sum{.weight = at::zeros_like(like), .bias = at::zeros_like(like)};
  for (const auto& use : adapters.uses) {
    const auto& weight = std::get<Difference>(use.adapter->change).weight;
    if (weight.defined()) sum.weight.add_(weight, use.weight);
    if (use.adapter->bias.defined()) sum.bias.add_(use.adapter->bias, use.weight);
  }
  return sum;
}

at::Tensor delta_weight(const LayerAdapter& adapter, at::IntArrayRef shape) {
  return unscaled_delta(adapter, shape) * adapter.scale;
}

at::Tensor run_layer(const LayerCall& call) {
  return run_layer(call, call.input, call.weight, call.bias);
}

at::Tensor apply_adapters(const LayerAdapters& adapters, const LayerCall& call) {
  const bool merged = should_merge(adapters, call.weight);
  const auto weight = merged ? merged_weight(adapters, call.weight) : call.weight;
  auto output = run_layer(call, call.input, weight, call.bias);
  for (const auto& use : adapters.uses) {
    const auto& adapter = *use.adapter;
    if (!can_apply_factors(use, adapters)) {
      if (!merged && changes_weight(use)) {
        output.add_(run_layer(call, call.input, kept_scaled_delta(use, call.weight)));
      }
    } else if (adapter.magnitude) {
      output = apply_dora(use, call, std::move(output));
    } else {
      output.add_(apply_factors(std::get<LowRank>(adapter.change), call).mul_(adapter.scale * use.weight));
    }
    if (adapter.bias.defined()) output.add_(as_output(adapter.bias, call), use.weight);
  }
  return output;
}

}  // namespace easel
