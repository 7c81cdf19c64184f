#include "nn/feed_forward.h"

#include <ATen/ops/gelu.h>

#include "nn/activation.h"

namespace easel {
namespace {

constexpr std::int64_t kWidening = 4;

}  // namespace

FeedForward::FeedForward(const ModuleScope& scope, std::int64_t dim, FeedForwardKind kind)
    : proj_(scope / "net" / 0 / "proj", dim, (kind == FeedForwardKind::kGeglu ? 2 : 1) * kWidening * dim),
      out_(scope / "net" / 2, kWidening * dim, dim),
      kind_(kind) {}

at::Tensor FeedForward::operator()(const at::Tensor& hidden_states, const RunContext& ctx) const {
  const auto projected = proj_(hidden_states, ctx);
  if (kind_ == FeedForwardKind::kGeluTanh) return out_(activate_in_place(Activation::kGeluTanh, projected), ctx);
  const auto halves = projected.chunk(2, /*dim=*/-1);  // value and gate, [B, L, 4 dim] each
  return out_(at::gelu(halves[1]).mul_(halves[0]), ctx);
}

}  // namespace easel
