// The gated MLP of a transformer block.
#pragma once

#include "nn/layers.h"

namespace easel {

/// GEGLU (Shazeer 2020, arXiv:2002.05202) with a hidden layer of four times the width.
class FeedForward {
 public:
  FeedForward(const ModuleScope& scope, std::int64_t dim);
  at::Tensor operator()(const at::Tensor& hidden_states, const RunContext& ctx) const;  // [B, L, dim] -> [B, L, dim]

 private:
  Linear proj_, out_;
};

}  // namespace easel
