#include "models/unet/unet_2d_condition.h"

#include "core/text.h"

namespace easel {
namespace {

constexpr double kMaskedScore = -10000.0;  // diffusers' stand-in for minus infinity

Conv2dOptions same_size(std::int64_t kernel) {
  return {.kernel = kernel, .stride = 1, .padding = (kernel - 1) / 2};
}

Conditioning make_conditioning(const UNetInput& input) {
  Conditioning prompt{.encoder_hidden_states = input.encoder_hidden_states, .bias = {}};
  if (input.encoder_attention_mask.defined()) {
    const auto hidden = input.encoder_attention_mask.to(input.sample.scalar_type()).neg().add_(1);  // 1 where masked
    prompt.bias = hidden.mul_(kMaskedScore).unsqueeze(1).unsqueeze(1);                              // [B, 1, 1, S]
  }
  return prompt;
}

void check_shape(const at::Tensor& tensor, const char* name, at::IntArrayRef expected) {
  if (!tensor.defined() || tensor.sizes() != expected) {
    throw Error(ErrorCode::kInvalidArgument,
                concat("unet: ", name, " is ", tensor.defined() ? concat(tensor.sizes()) : std::string("missing"),
                       ", expected ", expected));
  }
}

}  // namespace

UNet2DConditionModel::UNet2DConditionModel(const UNet2DConditionConfig& config, const ModuleScope& scope)
    : config_(config),
      offload_handle_(scope.offload_handle()),
      layer_table_(scope.layers()),
      embedding_(config, scope),
      conv_in_(scope / "conv_in", config.in_channels, config.levels[0].channels, same_size(config.conv_in_kernel)),
      conv_out_(scope / "conv_out", config.levels[0].channels, config.out_channels, same_size(config.conv_out_kernel)) {
  const auto levels = config.levels.size();
  for (std::size_t i = 0; i < levels; ++i) {
    const auto index = static_cast<std::int64_t>(i);
    const auto down = scope / "down_blocks" / index, up = scope / "up_blocks" / index;
    if (config.k_blocks) {
      k_down_blocks_.emplace_back(down, config, i);
      k_up_blocks_.emplace_back(up, config, levels - 1 - i);
    } else {
      down_blocks_.emplace_back(down, config, i);
      up_blocks_.emplace_back(up, config, levels - 1 - i);
    }
  }
  if (config.norm_num_groups > 0) {
    conv_norm_out_.emplace(scope / "conv_norm_out", config.norm_num_groups, config.levels[0].channels, config.norm_eps);
  }
  if (config.mid_block_type != UNetMidBlockType::kNone) mid_block_.emplace(scope / "mid_block", config);
}

at::Tensor UNet2DConditionModel::operator()(const UNetInput& input, const RunContext& ctx) const {
  check(input);
  offload_handle_.make_resident();

  // 1. time
  const UNetBlockInputs block_inputs{.emb = embedding_(input, ctx), .prompt = make_conditioning(input)};

  // 2. pre-process
  auto sample = input.sample.contiguous(at::MemoryFormat::ChannelsLast);
  if (config_.center_input_sample) sample = sample.mul(2).sub_(1);
  sample = conv_in_(sample, ctx);  // [B, levels[0].channels, h, w]

  // 3. to 5. down, mid, up
  sample = config_.k_blocks ? run_k_blocks(std::move(sample), block_inputs, ctx)
                            : run_blocks(std::move(sample), input, block_inputs, ctx);

  // 6. post-process
  if (conv_norm_out_) sample = activate_in_place(config_.act_fn, (*conv_norm_out_)(sample, ctx));
  return conv_out_(sample, ctx);  // [B, out_channels, h, w]
}

at::Tensor UNet2DConditionModel::run_blocks(at::Tensor sample, const UNetInput& input,
                                            const UNetBlockInputs& block_inputs, const RunContext& ctx) const {
  // 3. down
  std::vector<at::Tensor> skips{sample};
  for (const auto& block : down_blocks_) sample = block(std::move(sample), block_inputs, skips, ctx);
  if (!input.down_block_residuals.empty()) add_residuals(input, skips);

  // 4. mid
  if (mid_block_) sample = (*mid_block_)(std::move(sample), block_inputs, ctx);
  if (input.mid_block_residual.defined()) sample = sample.add(input.mid_block_residual);

  // 5. up
  for (const auto& block : up_blocks_) sample = block(std::move(sample), block_inputs, skips, ctx);
  return sample;
}

at::Tensor UNet2DConditionModel::run_k_blocks(at::Tensor sample, const UNetBlockInputs& block_inputs,
                                              const RunContext& ctx) const {
  std::vector<at::Tensor> skips;  // one per level
  for (const auto& block : k_down_blocks_) {
    at::Tensor skip;
    sample = block(std::move(sample), block_inputs, skip, ctx);
    skips.push_back(std::move(skip));
  }
  for (const auto& block : k_up_blocks_) {
    sample = block(std::move(sample), block_inputs, skips.back(), ctx);
    skips.pop_back();
  }
  return sample;
}

void UNet2DConditionModel::check(const UNetInput& input) const {
  if (!input.sample.defined() || input.sample.dim() != 4)
    check_shape(input.sample, "sample", {-1, config_.in_channels, -1, -1});
  const auto batch = input.sample.size(0);
  check_shape(input.sample, "sample", {batch, config_.in_channels, input.sample.size(2), input.sample.size(3)});
  for (const auto size : {input.sample.size(2), input.sample.size(3)}) {
    if (size % config_.size_multiple() == 0 && size >= config_.min_size()) continue;
    throw Error(ErrorCode::kInvalidArgument,
                concat("unet: a sample of ", input.sample.sizes(), "; height and width of ",
                       "this model's are multiples of ", config_.size_multiple(), " from ", config_.min_size(), " up"));
  }
  check_shape(input.timesteps, "timesteps", {batch});
  const auto& prompt = input.encoder_hidden_states;
  const auto tokens = prompt.defined() && prompt.dim() == 3 ? prompt.size(1) : -1;
  check_shape(prompt, "encoder_hidden_states", {batch, tokens, config_.levels[0].cross_attention_dim});
  if (input.encoder_attention_mask.defined()) {
    check_shape(input.encoder_attention_mask, "encoder_attention_mask", {batch, tokens});
  }
  if (config_.k_blocks && input.mid_block_residual.defined()) {
    throw Error(ErrorCode::kInvalidArgument, "unet: this model does not take residuals");
  }
  if (input.down_block_residuals.empty() == input.mid_block_residual.defined()) {
    throw Error(ErrorCode::kInvalidArgument,
                "unet: down_block_residuals and mid_block_residual come together or not at all");
  }
}

void UNet2DConditionModel::add_residuals(const UNetInput& input, std::vector<at::Tensor>& skips) const {
  if (input.down_block_residuals.size() != skips.size()) {
    throw Error(ErrorCode::kInvalidArgument,
                concat("unet: ", input.down_block_residuals.size(), " down_block_residuals, expected ", skips.size()));
  }
  for (std::size_t i = 0; i < skips.size(); ++i) {
    check_shape(input.down_block_residuals[i], "a down_block_residual", skips[i].sizes());
    skips[i] = skips[i].add(input.down_block_residuals[i]);
  }
}

}  // namespace easel
