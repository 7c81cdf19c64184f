// Family::load of the upscaler that works on latents.
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/upsample_nearest2d.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <utility>

#include "pipelines/families/pipeline_builder.h"
#include "pipelines/prompts/prompt_rows.h"
#include "pipelines/starts/from_low_resolution.h"
#include "tensor/upload.h"

namespace easel {
namespace {

// The reference adds no noise to the low-resolution image, and embeds that as this many ones and as many zeros.
constexpr std::int64_t kHalfNoiseEmbedding = 64;

/// Conditions on the text encoder's last state without LayerNorm, and adds the pooled prompt to the timestep.
class PooledConditioner : public Conditioner {
 public:
  PooledConditioner(std::shared_ptr<PromptEncoder> encoder, double default_guidance_scale)
      : encoder_(std::move(encoder)), default_guidance_scale_(default_guidance_scale) {}

  DenoiserConditioning encode(const GenerationRequest& request, const Canvas&, Guidance guidance,
                              const RunContext& context) override {
    // The reference drops the prompt where its scale is 0.
    const bool drops_prompt = request.guidance_scale.value_or(default_guidance_scale_) == 0;
    auto effective_request = request;
    if (drops_prompt) effective_request.prompt.clear();
    const auto prompts = encode_prompts({&encoder_, 1}, effective_request, guidance, EmptyNegative::kEncoded, context);
    const auto pooled = concat_rows(prompts.negative.text_embeds, prompts.text.text_embeds);
    const auto rows = pooled.size(0);
    const auto options = pooled.options();
    DenoiserConditioning conditioning;
    conditioning.prompt_cut = prompts.cut();
    conditioning.prompt_tokens = prompts.text.tokens;
    conditioning.timestep_cond = at::cat(at::TensorList({at::ones({rows, kHalfNoiseEmbedding}, options),
                                                         at::zeros({rows, kHalfNoiseEmbedding}, options), pooled}),
                                         /*dim=*/1);
    conditioning.prompt_embeds = concat_rows(prompts.negative.embeds, prompts.text.embeds);
    return conditioning;
  }

 private:
  std::shared_ptr<PromptEncoder> encoder_;
  double default_guidance_scale_;
};

/// The model sees the low-resolution image's latents, enlarged to the size of its own.
class UpsampledLatents : public LowResolutionInput {
 public:
  explicit UpsampledLatents(int factor) : factor_(factor) {}

  std::int64_t channels(const ImageCodec& codec) const override { return codec.config().latent_channels; }

  NoisyTile read(const at::Tensor& pixels, const StartInput& input) const override {
    return [factor = factor_, image = input.codec.encode(pixels, input.context), &codec = input.codec,
            placement = input.placement](const at::Tensor& noise) {
      const auto sampled = image.sample(upload(noise, image.mean.device(), image.mean.scalar_type()));
      const auto small = codec.scale(sampled.to(placement.device, placement.dtype));  // [1, C, h / factor, w / factor]
      return at::upsample_nearest2d(small, {factor * small.size(2), factor * small.size(3)}, std::nullopt,
                                    std::nullopt);
    };
  }

 private:
  int factor_;
};

/// The sizes that the UNet can generate, in pixels of the low-resolution image.
UpscaleSizes sizes_of(const UNet2DConditionConfig& unet, const ModelDescription& description,
                      const Checkpoint& folder) {
  const auto pixels = [&](std::int64_t cells) {
    return std::max(static_cast<int>(cells) * description.cell / description.upscale_factor, description.cell);
  };
  return upscale_sizes(description.upscale_factor, pixels(unet.size_multiple()), pixels(unet.min_size()),
                       folder.manifest.upscale_tile, description.cell);
}

}  // namespace

std::unique_ptr<Pipeline> load_latent_upscale(PipelineBuilder& builder) {
  const auto& description = builder.description();
  auto conditioner =
      std::make_unique<PooledConditioner>(builder.text_encoders()[0], description.default_guidance_scale);
  const auto& unet = builder.add_unet(builder.folder(), std::move(conditioner));
  auto start = std::make_unique<FromLowResolution>(sizes_of(unet, description, builder.folder()), description.cell,
                                                   std::make_unique<UpsampledLatents>(description.upscale_factor));
  return builder.build(std::move(start), /*extra_channels=*/builder.latent_channels());
}

}  // namespace easel
