// Norms whose shifts and scales depend on the timestep (AdaLN, Peebles and Xie 2023, arXiv:2212.09748).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "nn/layers.h"

namespace easel {

/// Makes the shifts, scales and gates of blocks from the embedding of timestep and conditioning. Immutable;
/// thread-safe.
class AdaptiveModulation {
 public:
  /// @param scope  of the linear layer
  /// @param parts  how many vectors of `dim` numbers it makes
  AdaptiveModulation(const ModuleScope& scope, std::int64_t dim, std::int64_t parts, Bias bias = Bias::kPresent);
  /// linear(SiLU(embedding)). @param embedding  [B, dim] @return  [B, 1, dim] each
  std::vector<at::Tensor> operator()(const at::Tensor& embedding, const RunContext& ctx) const;

 private:
  Linear linear_;
  std::int64_t parts_;
};

/// LayerNorm without weights, then multiplied by 1 + scale and shifted.
/// @param x      [B, L, dim]
/// @param shift  [B, 1, dim]
/// @param scale  [B, 1, dim]
/// @return       a new tensor of the shape of x
at::Tensor modulated_layer_norm(const at::Tensor& x, const at::Tensor& shift, const at::Tensor& scale,
                                double eps = 1e-6);

}  // namespace easel
