// The MLP of a transformer block.
#pragma once

#include "nn/layers.h"

namespace easel {

/// The activation between the two layers of an MLP, by diffusers' names.
enum class FeedForwardKind {
  kGeglu,     ///< "geglu": gated (Shazeer 2020, arXiv:2002.05202)
  kGeluTanh,  ///< "gelu-approximate"
};

/// diffusers' FeedForward with a hidden layer of four times the width. Immutable; thread-safe.
class FeedForward {
 public:
  FeedForward(const ModuleScope& scope, std::int64_t dim, FeedForwardKind kind = FeedForwardKind::kGeglu);
  at::Tensor operator()(const at::Tensor& hidden_states, const RunContext& ctx) const;  // [B, L, dim] -> [B, L, dim]

 private:
  Linear proj_, out_;
  FeedForwardKind kind_;
};

}  // namespace easel
