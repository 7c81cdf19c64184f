#include "nn/transformer/gated_mlp.h"

#include "nn/activation.h"

namespace easel {

GatedMlp::GatedMlp(const ModuleScope& scope, const GatedMlpNames& names, std::int64_t dim, std::int64_t hidden_dim)
    : gate_(scope / names.gate, dim, hidden_dim, Bias::kNone),
      up_(scope / names.up, dim, hidden_dim, Bias::kNone),
      down_(scope / names.down, hidden_dim, dim, Bias::kNone) {}

at::Tensor GatedMlp::operator()(const at::Tensor& x, const RunContext& ctx) const {
  const auto gated = activate_in_place(Activation::kSilu, gate_(x, ctx)).mul_(up_(x, ctx));  // [B, L, hidden_dim]
  return down_(gated, ctx);
}

}  // namespace easel
