#include "nn/unet/resnet.h"

#include "nn/prompt_projections.h"

namespace easel {

ResnetBlock2D::ResnetBlock2D(const ModuleScope& scope, const ResnetOptions& options)
    : norm1_(scope / "norm1", options.norm_num_groups, options.in_channels, options.norm_eps),
      norm2_(scope / "norm2", options.norm_num_groups, options.out_channels, options.norm_eps),
      conv1_(scope / "conv1", options.in_channels, options.out_channels),
      conv2_(scope / "conv2", options.out_channels, options.out_channels),
      options_(options) {
  if (options.temb_channels) {
    const auto parts = options.time_embedding_norm == TimeEmbeddingNorm::kScaleShift ? 2 : 1;
    time_emb_proj_.emplace(scope / "time_emb_proj", *options.temb_channels, parts * options.out_channels);
  }
  if (options.in_channels != options.out_channels) {
    conv_shortcut_.emplace(scope / "conv_shortcut", options.in_channels, options.out_channels,
                           Conv2dOptions{.kernel = 1, .stride = 1, .padding = 0});
  }
}

at::Tensor ResnetBlock2D::operator()(const at::Tensor& input, const at::Tensor& temb, const RunContext& ctx) const {
  ctx.throw_if_cancelled();
  auto hidden = conv1_(activate_in_place(options_.activation, norm1_(input, ctx)), ctx);  // [B, out_channels, H, W]

  at::Tensor time;  // [B, out_channels or twice that, 1, 1]
  if (time_emb_proj_) {
    const auto project = [&](const at::Tensor& embeddings) {
      return (*time_emb_proj_)(activate(options_.activation, embeddings), ctx);
    };
    time = once_for_all_timesteps(time_emb_proj_->slot(), temb, ctx, project).unsqueeze(-1).unsqueeze(-1);
  }
  if (time.defined() && options_.time_embedding_norm == TimeEmbeddingNorm::kScaleShift) {
    const auto scale_shift = time.chunk(2, /*dim=*/1);
    hidden = norm2_(hidden, ctx).mul_(scale_shift[0].add(1)).add_(scale_shift[1]);
  } else {
    if (time.defined()) hidden.add_(time);
    hidden = norm2_(hidden, ctx);
  }
  hidden = conv2_(activate_in_place(options_.activation, std::move(hidden)), ctx);  // [B, out_channels, H, W]

  hidden.add_(conv_shortcut_ ? (*conv_shortcut_)(input, ctx) : input);
  return options_.output_scale_factor == 1.0 ? hidden : hidden.div_(options_.output_scale_factor);
}

}  // namespace easel
