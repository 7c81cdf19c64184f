// Family::load of FLUX.1.
#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>

#include <utility>

#include "core/text.h"
#include "easel/error.h"
#include "models/memory/activation_memory.h"
#include "models/transformers/flux_transformer_2d.h"
#include "pipelines/denoising/request_fields.h"
#include "pipelines/families/pipeline_builder.h"
#include "pipelines/prompts/prompt_rows.h"
#include "pipelines/prompts/t5_prompt_encoder.h"
#include "pipelines/starts/from_kontext_image.h"

namespace easel {
namespace {

constexpr std::int64_t kMaxFluxTokens = 512;

/// The states of T5, with those of its padding, and the pooled output of CLIP.
class FluxConditioner : public Conditioner {
 public:
  FluxConditioner(std::shared_ptr<PromptEncoder> clip, std::unique_ptr<T5PromptEncoder> t5)
      : clip_(std::move(clip)), t5_(std::move(t5)) {}

  DenoiserConditioning encode(const GenerationRequest& request, const Canvas&, Guidance guidance,
                              const RunContext& context) override {
    if (request.clip_skip.value_or(0) != 0) reject_field("clip_skip", "has no use in this model");
    if (request.prompt_syntax == PromptSyntax::kA1111) {
      reject_field("prompt_syntax", "has no use in this model, whose text encoders read prompts as they are");
    }
    auto conditioning = row(request.prompt, "prompt", context);
    if (guidance == Guidance::kOff) return conditioning;
    const auto negative = row(request.negative_prompt, "negative_prompt", context);
    conditioning.prompt_embeds = concat_rows(negative.prompt_embeds, conditioning.prompt_embeds);
    conditioning.text_embeds = concat_rows(negative.text_embeds, conditioning.text_embeds);
    conditioning.prompt_cut = conditioning.prompt_cut || negative.prompt_cut;
    return conditioning;
  }

 private:
  DenoiserConditioning row(const std::string& text, const char* param, const RunContext& context) {
    const auto pooled = clip_->encode(text, {.param = param}, context);
    const auto t5 = t5_->encode(text, param, context);
    // CLIP cuts long texts short, but T5 reads more of them.
    return {.prompt_embeds = t5.prompt.embeds,
            .text_embeds = pooled.text_embeds,
            .time_ids = {},
            .prompt_cut = t5.prompt.cut,
            .prompt_tokens = t5.prompt.tokens};
  }

  std::shared_ptr<PromptEncoder> clip_;
  std::unique_ptr<T5PromptEncoder> t5_;
};

class FluxDenoisingModel : public DenoisingModel {
 public:
  FluxDenoisingModel(FluxTransformer2DModel model, c10::ScalarType dtype) : model_(std::move(model)), dtype_(dtype) {}

  at::Tensor predict(const at::Tensor& sample, const at::Tensor& timesteps, const DenoiserConditioning& conditioning,
                     const RunContext& context) const override {
    constexpr double kTrainTimesteps = 1000;  // the reference does not read it from the scheduler's config
    return model_({.sample = sample.to(dtype_),
                   .timesteps = timesteps.to(dtype_) / kTrainTimesteps,
                   .guidance = takes_guidance_scale() ? conditioning.timestep_cond.squeeze(1) : at::Tensor(),
                   .prompt_embeds = conditioning.prompt_embeds,
                   .pooled_prompt = conditioning.text_embeds,
                   .reference = conditioning.references.empty() ? at::Tensor() : conditioning.references[0].to(dtype_)},
                  context);
  }
  bool takes_guidance_scale() const override { return model_.config().guidance_embeds; }
  at::Tensor embed_guidance_scale(double guidance_scale) const override {
    return at::full({1, 1}, guidance_scale, at::kFloat);  // the model embeds it
  }
  const std::shared_ptr<LayerTable>& layer_table() const override { return model_.layer_table(); }

 private:
  FluxTransformer2DModel model_;
  c10::ScalarType dtype_;
};

/// @throws Error(kUnsupported)  the transformer's input `key` does not have the width of a text encoder's output
void check_width(const Checkpoint& folder, const char* key, std::int64_t width, const char* of_encoder,
                 std::int64_t encoder_width) {
  if (width == encoder_width) return;
  throw Error(ErrorCode::kUnsupported, concat(folder.source->config(Component::kTransformer).where(), ": `", key,
                                              "` is ", width, ", but ", of_encoder, " is ", encoder_width));
}

}  // namespace

StepEstimate flux_step_estimate(Config& denoiser) {
  return [config = FluxTransformer2DConfig::from(denoiser)](const LatentSize& size, const Placement& placement) {
    return step_bytes(config, size, placement);
  };
}

StepEstimate flux_kontext_step_estimate(Config& denoiser) {
  return [config = FluxTransformer2DConfig::from(denoiser)](const LatentSize& size, const Placement& placement) {
    // Of a megapixel, which all references have about, in the cells of the published autoencoder.
    const LatentSize reference{.rows = size.rows, .height = 128, .width = 128};
    return step_bytes(config, size, placement, reference);
  };
}

void describe_flux(const Checkpoint& folder, ModelDescription& d) {
  auto json = folder.source->config(Component::kTransformer);
  if (!FluxTransformer2DConfig::from(json).guidance_embeds) d.unused_fields.emplace_back("guidance_scale");
}

namespace {

/// Adds the transformer with its text encoders. @return  the channels of its latents
std::int64_t add_flux_denoiser(PipelineBuilder& builder) {
  const auto& folder = builder.folder();
  auto transformer = load_transformer<FluxTransformer2DModel, FluxTransformer2DConfig>(folder, builder.placement());
  const auto config = transformer.config();
  auto clip = folder.source->config(Component::kTextEncoder), t5 = folder.source->config(Component::kTextEncoder2);
  check_width(folder, "pooled_projection_dim", config.pooled_projection_dim, "`hidden_size` of `text_encoder`",
              CLIPTextConfig::from(clip).hidden_size);
  check_width(folder, "joint_attention_dim", config.joint_attention_dim, "`d_model` of `text_encoder_2`",
              T5EncoderConfig::from(t5).d_model);
  auto conditioner = std::make_unique<FluxConditioner>(
      builder.text_encoders()[0],
      load_t5_prompt_encoder(folder, Component::kTextEncoder2, {.max_length = kMaxFluxTokens}, builder.placement()));
  builder.add_denoiser(config.latent_channels(),
                       std::make_unique<FluxDenoisingModel>(std::move(transformer), builder.placement().dtype),
                       std::move(conditioner));
  return config.latent_channels();
}

}  // namespace

std::unique_ptr<Pipeline> load_flux(PipelineBuilder& builder) {
  add_flux_denoiser(builder);
  return builder.build();
}

std::unique_ptr<Pipeline> load_flux_kontext(PipelineBuilder& builder) {
  const auto channels = add_flux_denoiser(builder);
  return builder.build(std::make_unique<FromKontextImage>(builder.description(), channels), /*extra_channels=*/0);
}

}  // namespace easel
