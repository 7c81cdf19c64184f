// The changes that an adapter can make to one layer, and their arithmetic.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/FunctionRef.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "core/mutex.h"

namespace easel {

/// Up(mid(down(x))): LoRA (Hu et al. 2021, arXiv:2106.09685), and LoCon, which is the same for convolutions. Two or
/// four dimensions each, as the layer's weight has. The window is that of `down`, or of `mid` if there is one.
struct LowRank {
  at::Tensor down;     ///< [r, in], [r, in, k, k]; before a mid [r, in, 1, 1]
  at::Tensor mid;      ///< undefined, or [r, r, k, k] (Tucker's decomposition)
  at::Tensor up;       ///< [out, r], [out, r, 1, 1]
  at::Tensor up_bias;  ///< undefined, or [out]
};

/// The elementwise product (w1_a w1_b) * (w2_a w2_b): LoHa (Hyeon-Woo et al. 2021, arXiv:2108.06098).
struct HadamardProduct {
  at::Tensor w1_a, w1_b, w2_a, w2_b;  ///< [out, r] and [r, in * k * k]; with t [r, out] and [r, in]
  at::Tensor t1, t2;                  ///< undefined, or [r, r, k, k]
};

/// A factor of a KroneckerProduct: `whole`, or the product of a and b, with a core t if it is defined.
struct KroneckerFactor {
  at::Tensor whole;
  at::Tensor a, b;  ///< [rows, r] and [r, columns]; with t [r, rows] and [r, columns]
  at::Tensor t;     ///< undefined, or [r, r, k, k]
};

/// The Kronecker product of w1 and w2: LoKr (Yeh et al. 2023, arXiv:2309.14859). w1 has no window.
struct KroneckerProduct {
  KroneckerFactor w1, w2;
};

/// The difference of the whole weight: LyCORIS' "full" and "norm", and what extraction tools write. Undefined if only
/// the bias changes. The only change that a norm can have.
struct Difference {
  at::Tensor weight;  ///< of the layer's shape
};

/// DoRA (Liu et al. 2024, arXiv:2402.09353): the changed weight is rescaled to these lengths. Its two implementations
/// differ in the meaning of an adapter's weight other than 1.
struct Magnitude {
  enum class Rule {
    kPeft,     ///< the weight scales the low-rank change inside the norm; the lengths apply fully
    kLycoris,  ///< the change applies fully; the weight scales how far the lengths apply
  };
  at::Tensor lengths;  ///< [out, 1...], or [1, in, 1...] in old LyCORIS files; as many dimensions as the weight
  Rule rule = Rule::kPeft;
};

/// A change of one layer. Immutable; tensors have the layer's dtype and device.
struct LayerAdapter {
  std::variant<LowRank, HadamardProduct, KroneckerProduct, Difference> change;
  double scale = 1.0;                                 ///< alpha / rank
  std::optional<Magnitude> magnitude = std::nullopt;  ///< rule kPeft only with LowRank without mid
  at::Tensor bias = {};                               ///< undefined, or [out]: a change of the layer's bias
};

/// The factors by which an adapter with a magnitude rescales the changed weight: [out, 1...] or [1, in, 1...].
/// Computing them takes the whole changed weight, so the first call does it for all that follow. Thread-safe.
class MagnitudeGain {
 public:
  /// @param compute  called the first time; if it throws, the next call tries again
  template <class Compute>
  const at::Tensor& get(const Compute& compute) {
    std::call_once(once_, [&] { gain_ = compute(); });
    return gain_;
  }

 private:
  std::once_flag once_;
  at::Tensor gain_;
};

/// How much memory kept deltas may take together. Thread-safe.
class DeltaMemory {
 public:
  explicit DeltaMemory(std::size_t bytes) : limit_(bytes) {}

  /// Concerns later calls of take only.
  void set_limit(std::size_t bytes) { limit_ = bytes; }
  /// Whether there was room for so many bytes, which are then taken until they are given back.
  bool take(std::size_t bytes);
  void give_back(std::size_t bytes) { taken_ -= bytes; }
  std::size_t taken() const { return taken_; }

 private:
  std::atomic<std::size_t> limit_, taken_ = 0;
};

/// A delta as large as a layer's weight, which takes longer to compute than to apply. It is kept from the first call on
/// if there is room for it, and otherwise computed at each call. Thread-safe.
class KeptDelta {
 public:
  /// @param memory  null: nothing is kept
  explicit KeptDelta(std::shared_ptr<DeltaMemory> memory = nullptr) : memory_(std::move(memory)) {}
  ~KeptDelta();
  KeptDelta(const KeptDelta&) = delete;
  KeptDelta& operator=(const KeptDelta&) = delete;

  /// @param compute  always gives the same
  /// @return         not to be modified
  at::Tensor get(c10::function_ref<at::Tensor()> compute);

 private:
  std::shared_ptr<DeltaMemory> memory_;
  Mutex mutex_;
  at::Tensor kept_ EASEL_GUARDED_BY(mutex_);
};

/// An adapter as one set uses it on one layer. Copies share the gain and the delta.
struct WeightedAdapter {
  std::shared_ptr<const LayerAdapter> adapter;
  double weight = 1.0;
  std::shared_ptr<MagnitudeGain> gain = std::make_shared<MagnitudeGain>();
  std::shared_ptr<KeptDelta> delta = std::make_shared<KeptDelta>();
};

/// The adapters of one layer, in the order in which they are applied. Always used with the same weight of the layer.
struct LayerAdapters {
  std::vector<WeightedAdapter> uses;
};

/// The operands of one call of a layer.
struct LayerCall {
  const at::Tensor& input;
  const at::Tensor& weight;  ///< [out, in], or [out, in, k, k]
  const at::Tensor& bias;    ///< [out], or undefined
  std::int64_t stride = 1;   ///< of a convolution
  std::int64_t padding = 0;
};

/// The layer's own operation.
at::Tensor run_layer(const LayerCall& call);

/// The layer's output with all its adapters. Results are those of PEFT 0.21.2, unfused, and of lycoris_lora 4.1.3, each
/// for its own kinds. No value is read back from a device.
at::Tensor apply_adapters(const LayerAdapters& adapters, const LayerCall& call);

/// The sum of the changes of a norm, which is applied as a second norm with this weight and bias, as lycoris_lora does.
struct NormChange {
  at::Tensor weight, bias;  ///< [features]
};
/// @param like  the norm's own weight
NormChange norm_change(const LayerAdapters& adapters, const at::Tensor& like);

/// The scaled change as a weight of this shape.
at::Tensor delta_weight(const LayerAdapter& adapter, at::IntArrayRef shape);

}  // namespace easel
