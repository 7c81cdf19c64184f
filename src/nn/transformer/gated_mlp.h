// The gated MLP of language models and of the transformers that follow them.
#pragma once

#include "nn/layers.h"

namespace easel {

/// The names of its layers in a checkpoint.
struct GatedMlpNames {
  const char* gate;
  const char* up;
  const char* down;
};

/// down(silu(gate(x)) * up(x)), without biases (SwiGLU, Shazeer 2020, arXiv:2002.05202). Immutable; thread-safe.
class GatedMlp {
 public:
  GatedMlp(const ModuleScope& scope, const GatedMlpNames& names, std::int64_t dim, std::int64_t hidden_dim);
  at::Tensor operator()(const at::Tensor& x, const RunContext& ctx) const;  // [B, L, dim] -> [B, L, dim]

 private:
  Linear gate_, up_, down_;
};

}  // namespace easel
