// What an adapter does to one layer: the kinds of low-rank changes, and their arithmetic.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <variant>
#include <vector>

namespace easel {

/// Up(mid(down(x))): LoRA (Hu et al. 2021, arXiv:2106.09685), and LoCon, which is the same for convolutions. Two or
/// four dimensions each, as the layer's weight has: the window is down's, or, where there is a mid, mid's.
struct LowRank {
  at::Tensor down;     ///< [r, in], [r, in, k, k]; before a mid [r, in, 1, 1]
  at::Tensor mid;      ///< undefined, or [r, r, k, k] (Tucker's decomposition)
  at::Tensor up;       ///< [out, r], [out, r, 1, 1]
  at::Tensor up_bias;  ///< undefined, or [out]
};

/// (w1_a w1_b) * (w2_a w2_b), element by element: LoHa (Hyeon-Woo et al. 2021, arXiv:2108.06098).
struct HadamardProduct {
  at::Tensor w1_a, w1_b, w2_a, w2_b;  ///< [out, r] and [r, in * k * k]; with t [r, out] and [r, in]
  at::Tensor t1, t2;                  ///< undefined, or [r, r, k, k]
};

/// A factor of a KroneckerProduct: whole, or a b, or with a core t.
struct KroneckerFactor {
  at::Tensor whole;
  at::Tensor a, b;  ///< [rows, r] and [r, columns]; with t [r, rows] and [r, columns]
  at::Tensor t;     ///< undefined, or [r, r, k, k]
};

/// w1 (x) w2: LoKr (Yeh et al. 2023, arXiv:2309.14859). The first has no window.
struct KroneckerProduct {
  KroneckerFactor w1, w2;
};

/// The whole change: LyCORIS' "full", and what tools extract. The weight may be undefined where the bias alone changes.
struct Difference {
  at::Tensor weight;  ///< of the layer's shape
};

/// DoRA (Liu et al. 2024, arXiv:2402.09353): the changed weight keeps its direction and takes these lengths. Its two
/// implementations differ in what a weight other than 1 means.
struct Magnitude {
  enum class Rule {
    kPeft,     ///< the weight scales the low-rank change inside the norm; lengths are taken over whole
    kLycoris,  ///< the change is whole; the weight scales how far lengths are taken over
  };
  at::Tensor lengths;  ///< [out, 1...] or, of LyCORIS' older files, [1, in, 1...]; as many dimensions as the weight
  Rule rule = Rule::kPeft;
};

/// A change of one layer. Immutable; tensors have the layer's dtype and device.
struct LayerAdapter {
  std::variant<LowRank, HadamardProduct, KroneckerProduct, Difference> change;
  double scale = 1.0;                                 ///< alpha / rank
  std::optional<Magnitude> magnitude = std::nullopt;  ///< rule kPeft: of LowRank without mid alone
  at::Tensor bias = {};                               ///< undefined, or [out]: a change of the layer's bias
};

struct WeightedAdapter {
  std::shared_ptr<const LayerAdapter> adapter;
  double weight = 1.0;
  /// Of an adapter with a magnitude: by how much the changed weight is stretched, [out, 1...] or [1, in, 1...]. It asks
  /// for the changed weight as a whole, so the first call leaves it here for those that follow.
  mutable at::Tensor gain = {};
};

/// In the order in which they are applied. For one layer, and used by one thread at a time.
struct LayerAdapters {
  std::vector<WeightedAdapter> uses;
};

/// A layer at work.
struct LayerCall {
  const at::Tensor& input;
  const at::Tensor& weight;  ///< [out, in], or [out, in, k, k]
  const at::Tensor& bias;    ///< [out], or undefined
  std::int64_t stride = 1;   ///< of a convolution
  std::int64_t padding = 0;
};

/// The layer's own operation.
at::Tensor run_layer(const LayerCall& call);

/// What the layer gives with all its adapters. Numbers are those of PEFT 0.21.2, unfused, and of lycoris_lora 4.1.3,
/// each kind's own; no value is read from a device.
at::Tensor apply_adapters(const LayerAdapters& adapters, const LayerCall& call);

/// scale times the change, as a weight of this shape.
at::Tensor delta_weight(const LayerAdapter& adapter, at::IntArrayRef shape);

}  // namespace easel
