#include "nn/unet/resnet_cond_norm.h"

#include <ATen/ops/group_norm.h>

#include "nn/prompt_projections.h"

namespace easel {

AdaGroupNorm::AdaGroupNorm(const ModuleScope& scope, const AdaGroupNormOptions& options)
    : linear_(scope / "linear", options.embedding_dim, 2 * options.channels),
      groups_(options.groups),
      eps_(options.eps) {}

at::Tensor AdaGroupNorm::operator()(const at::Tensor& x, const at::Tensor& emb, const RunContext& ctx) const {
  const auto both = once_for_all_timesteps(linear_.slot(), emb, ctx,
                                           [&](const at::Tensor& embeddings) { return linear_(embeddings, ctx); });
  const auto scale_shift = both.unsqueeze(-1).unsqueeze(-1).chunk(2, /*dim=*/1);  // [B, channels, 1, 1] each
  return at::group_norm(x, groups_, /*weight=*/{}, /*bias=*/{}, eps_).mul_(scale_shift[0].add(1)).add_(scale_shift[1]);
}

ResnetBlockCondNorm2D::ResnetBlockCondNorm2D(const ModuleScope& scope, const ResnetCondNormOptions& options)
    : norm1_(scope / "norm1", {.embedding_dim = options.temb_channels,
                               .channels = options.in_channels,
                               .groups = options.groups,
                               .eps = options.norm_eps}),
      norm2_(scope / "norm2", {.embedding_dim = options.temb_channels,
                               .channels = options.hidden_channels,
                               .groups = options.hidden_groups,
                               .eps = options.norm_eps}),
      conv1_(scope / "conv1", options.in_channels, options.hidden_channels),
      conv2_(scope / "conv2", options.hidden_channels, options.out_channels),
      activation_(options.activation) {
  if (options.in_channels != options.out_channels) {
    conv_shortcut_.emplace(scope / "conv_shortcut", options.in_channels, options.out_channels,
                           Conv2dOptions{.kernel = 1, .stride = 1, .padding = 0, .bias = Bias::kNone});
  }
}

at::Tensor ResnetBlockCondNorm2D::operator()(const at::Tensor& input, const at::Tensor& temb,
                                             const RunContext& ctx) const {
  ctx.throw_if_cancelled();
  auto hidden = conv1_(activate_in_place(activation_, norm1_(input, temb, ctx)), ctx);  // [B, hidden_channels, H, W]
  hidden = conv2_(activate_in_place(activation_, norm2_(hidden, temb, ctx)), ctx);      // [B, out_channels, H, W]
  return hidden.add_(conv_shortcut_ ? (*conv_shortcut_)(input, ctx) : input);
}

}  // namespace easel
