// Family::load of PixArt-Sigma.
#include <utility>

#include "core/text.h"
#include "easel/error.h"
#include "models/memory/activation_memory.h"
#include "models/transformers/pixart_transformer_2d.h"
#include "pipelines/denoising/request_fields.h"
#include "pipelines/families/pipeline_builder.h"
#include "pipelines/prompts/t5_prompt_encoder.h"
#include "tokenizers/unicode_text.h"

namespace easel {
namespace {

constexpr std::int64_t kPixArtT5Length = 300;

/// Conditions on the states of T5, each row on those of its own tokens.
class PixArtConditioner : public Conditioner {
 public:
  explicit PixArtConditioner(std::unique_ptr<T5PromptEncoder> encoder) : encoder_(std::move(encoder)) {}

  DenoiserConditioning encode(const GenerationRequest& request, const Canvas&, Guidance guidance,
                              const RunContext& context) override {
    if (request.clip_skip.value_or(0) != 0) reject_field("clip_skip", "has no use in this model");
    if (request.prompt_syntax == PromptSyntax::kA1111) {
      reject_field("prompt_syntax", "has no use in this model, whose text encoder reads prompts as they are");
    }
    auto text = row(request.prompt, "prompt", context);
    if (guidance == Guidance::kOff) return text;
    const auto negative = row(request.negative_prompt, "negative_prompt", context);
    auto both = stack_rows({&negative, &text});
    both.prompt_cut = text.prompt_cut || negative.prompt_cut;
    both.prompt_tokens = text.prompt_tokens;
    return both;
  }

 private:
  DenoiserConditioning row(const std::string& text, const char* param, const RunContext& context) {
    // As the reference does without the optional packages that rewrite prompts.
    const auto read = encoder_->encode(lower_case_and_strip(text), param, context);
    return {.prompt_embeds = read.prompt.embeds.narrow(1, 0, read.length),
            .prompt_lengths = {read.length},
            .text_embeds = {},
            .time_ids = {},
            .prompt_cut = read.prompt.cut,
            .prompt_tokens = read.prompt.tokens};
  }

  std::unique_ptr<T5PromptEncoder> encoder_;
};

class PixArtDenoisingModel : public DenoisingModel {
 public:
  explicit PixArtDenoisingModel(PixArtTransformer2DModel model) : model_(std::move(model)) {}

  at::Tensor predict(const at::Tensor& sample, const at::Tensor& timesteps, const DenoiserConditioning& conditioning,
                     const RunContext& context) const override {
    const auto out = model_({.sample = sample,
                             .timesteps = timesteps,
                             .prompt_embeds = conditioning.prompt_embeds,
                             .prompt_lengths = conditioning.prompt_lengths},
                            context);
    return out.narrow(1, 0, sample.size(1));  // without the variance
  }
  bool takes_guidance_scale() const override { return false; }
  at::Tensor embed_guidance_scale(double) const override {
    throw Error(ErrorCode::kInternal, "PixArt does not take the guidance scale as an input");
  }
  const std::shared_ptr<LayerTable>& layer_table() const override { return model_.layer_table(); }

 private:
  PixArtTransformer2DModel model_;
};

void check_pixart_fit(const PipelineBuilder& builder, const PixArtTransformer2DConfig& config,
                      const T5PromptEncoder& t5) {
  const auto reject = [&](const auto&... what) {
    const auto where = builder.folder().source->config(Component::kTransformer).where();
    throw Error(ErrorCode::kUnsupported, concat(where, ": ", what...));
  };
  if (config.caption_channels != t5.d_model()) {
    reject("`caption_channels` is ", config.caption_channels, ", but `d_model` of T5 is ", t5.d_model());
  }
  if (config.out_channels != config.in_channels && config.out_channels != 2 * config.in_channels) {
    reject("`out_channels` is ", config.out_channels, ", neither as many as `in_channels` nor twice as many");
  }
}

}  // namespace

StepEstimate pixart_step_estimate(Config& denoiser) {
  return [config = PixArtTransformer2DConfig::from(denoiser)](const LatentSize& size, const Placement& placement) {
    return step_bytes(config, size, placement);
  };
}

std::unique_ptr<Pipeline> load_pixart_sigma(PipelineBuilder& builder) {
  const auto& folder = builder.folder();
  auto t5 = load_t5_prompt_encoder(folder, Component::kTextEncoder,
                                   {.max_length = kPixArtT5Length, .padding = T5Padding::kMasked}, builder.placement());
  auto transformer = load_transformer<PixArtTransformer2DModel, PixArtTransformer2DConfig>(folder, builder.placement());
  const auto config = transformer.config();
  check_pixart_fit(builder, config, *t5);
  builder.add_denoiser(config.in_channels, std::make_unique<PixArtDenoisingModel>(std::move(transformer)),
                       std::make_unique<PixArtConditioner>(std::move(t5)));
  return builder.build();
}

}  // namespace easel
