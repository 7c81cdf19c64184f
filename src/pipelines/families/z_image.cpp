// Family::load of Z-Image.
#include <ATen/TensorOperators.h>

#include <utility>

#include "core/text.h"
#include "easel/error.h"
#include "models/memory/activation_memory.h"
#include "models/transformers/z_image_transformer_2d.h"
#include "pipelines/denoising/request_fields.h"
#include "pipelines/families/pipeline_builder.h"
#include "pipelines/prompts/qwen_prompt_encoder.h"

namespace easel {
namespace {

/// Rows of prompts that are as long as they are, filled up to the longer of the two.
class ZImageConditioner : public Conditioner {
 public:
  ZImageConditioner(std::unique_ptr<QwenPromptEncoder> encoder, const ZImageTransformer2DConfig& model, int pixels)
      : encoder_(std::move(encoder)), model_(model), pixels_per_token_(pixels) {}

  DenoiserConditioning encode(const GenerationRequest& request, const Canvas& canvas, Guidance guidance,
                              const RunContext& context) override {
    check(request, canvas);
    const auto text = encoder_->encode(request.prompt, "prompt", context);
    const auto row = [](const EncodedPrompt& prompt) {
      return DenoiserConditioning{
          .prompt_embeds = prompt.embeds, .prompt_lengths = {prompt.embeds.size(1)}, .text_embeds = {}, .time_ids = {}};
    };
    auto conditioning = row(text);
    conditioning.prompt_cut = text.cut;
    conditioning.prompt_tokens = text.tokens;
    if (guidance == Guidance::kOff) return conditioning;
    const auto negative = encoder_->encode(request.negative_prompt, "negative_prompt", context);
    const auto unconditional = row(negative);
    auto both = stack_rows({&unconditional, &conditioning});
    both.prompt_cut = text.cut || negative.cut;
    both.prompt_tokens = text.tokens;
    return both;
  }

 private:
  void check(const GenerationRequest& request, const Canvas& canvas) const {
    reject_clip_fields(request);
    const auto rows = canvas.generated_height / pixels_per_token_, columns = canvas.generated_width / pixels_per_token_;
    if (rows > model_.axes_lens[1] || columns > model_.axes_lens[2]) {
      reject_field("size",
                   concat("is too large: this model generates at most ", model_.axes_lens[2] * pixels_per_token_, "x",
                          model_.axes_lens[1] * pixels_per_token_, " pixels"));
    }
  }

  std::unique_ptr<QwenPromptEncoder> encoder_;
  ZImageTransformer2DConfig model_;
  int pixels_per_token_;
};

class ZImageDenoisingModel : public DenoisingModel {
 public:
  ZImageDenoisingModel(ZImageTransformer2DModel model, c10::ScalarType dtype)
      : model_(std::move(model)), dtype_(dtype) {}

  at::Tensor predict(const at::Tensor& sample, const at::Tensor& timesteps, const DenoiserConditioning& conditioning,
                     const RunContext& context) const override {
    constexpr double kTrainTimesteps = 1000;  // the reference does not read it from the scheduler's config
    // This model counts time the other way and predicts the velocity towards the image.
    return model_({.sample = sample.to(dtype_),
                   .timesteps = (-timesteps + kTrainTimesteps) / kTrainTimesteps,
                   .prompt_embeds = conditioning.prompt_embeds,
                   .prompt_lengths = conditioning.prompt_lengths},
                  context)
        .to(at::kFloat)
        .neg();
  }
  bool takes_guidance_scale() const override { return false; }
  at::Tensor embed_guidance_scale(double) const override {
    throw Error(ErrorCode::kInternal, "Z-Image does not take the guidance scale as an input");
  }
  const std::shared_ptr<LayerTable>& layer_table() const override { return model_.layer_table(); }

 private:
  ZImageTransformer2DModel model_;
  c10::ScalarType dtype_;
};

}  // namespace

StepEstimate z_image_step_estimate(Config& denoiser) {
  return [config = ZImageTransformer2DConfig::from(denoiser)](const LatentSize& size, const Placement& placement) {
    return step_bytes(config, size, placement);
  };
}

std::unique_ptr<Pipeline> load_z_image(PipelineBuilder& builder) {
  const auto& folder = builder.folder();
  auto text_json = folder.source->config(Component::kTextEncoder);
  const auto text = Qwen3TextConfig::from(text_json);
  // hidden_states[-2] of num_hidden_layers + 1.
  auto encoder = load_qwen_prompt_encoder(
      folder, {.chat_template = QwenTemplate::kThinking, .states = {text.num_hidden_layers - 1}}, builder.placement());
  auto transformer = load_transformer<ZImageTransformer2DModel, ZImageTransformer2DConfig>(folder, builder.placement());
  const auto config = transformer.config();
  if (config.cap_feat_dim != text.hidden_size) {
    throw Error(ErrorCode::kUnsupported,
                concat(folder.source->config(Component::kTransformer).where(), ": `cap_feat_dim` is ",
                       config.cap_feat_dim, ", but `hidden_size` of the text encoder is ", text.hidden_size));
  }
  builder.add_denoiser(config.in_channels,
                       std::make_unique<ZImageDenoisingModel>(std::move(transformer), builder.placement().dtype),
                       std::make_unique<ZImageConditioner>(std::move(encoder), config, builder.description().cell));
  return builder.build();
}

}  // namespace easel
