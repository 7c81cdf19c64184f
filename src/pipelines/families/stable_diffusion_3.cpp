// Family::load of Stable Diffusion 3 and 3.5.
#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/zeros.h>

#include <utility>

#include "core/text.h"
#include "easel/error.h"
#include "models/memory/activation_memory.h"
#include "models/transformers/sd3_transformer_2d.h"
#include "pipelines/denoising/request_fields.h"
#include "pipelines/families/pipeline_builder.h"
#include "pipelines/prompts/t5_prompt_encoder.h"

namespace easel {
namespace {

/// Tokens of T5. The reference's pipeline takes up to 512; this is its default.
constexpr std::int64_t kSd3T5Length = 256;

/// Conditions on the states of both of CLIP's encoders, next to each other, and then those of T5; and on both of CLIP's
/// pooled texts.
class Sd3Conditioner : public Conditioner {
 public:
  /// @param clip  two
  /// @param t5    null where the checkpoint has none
  /// @param cell  pixels along an edge of a patch
  Sd3Conditioner(std::vector<std::shared_ptr<PromptEncoder>> clip, std::unique_ptr<T5PromptEncoder> t5,
                 const SD3Transformer2DConfig& model, int cell)
      : clip_(std::move(clip)), t5_(std::move(t5)), model_(model), cell_(cell) {}

  DenoiserConditioning encode(const GenerationRequest& request, const Canvas& canvas, Guidance guidance,
                              const RunContext& context) override {
    check(request, canvas);
    auto text = row(request.prompt, {.clip_skip = request.clip_skip.value_or(0), .param = "prompt"}, context);
    if (guidance == Guidance::kOff) return text;
    // The reference does not apply clip_skip to the negative prompt.
    const auto negative = row(request.negative_prompt, {.clip_skip = 0, .param = "negative_prompt"}, context);
    auto both = stack_rows({&negative, &text});
    both.prompt_cut = text.prompt_cut || negative.prompt_cut;
    both.prompt_tokens = text.prompt_tokens;
    return both;
  }

 private:
  void check(const GenerationRequest& request, const Canvas& canvas) const {
    if (request.prompt_syntax == PromptSyntax::kA1111) {
      reject_field("prompt_syntax", "has no use in this model, whose text encoders read prompts as they are");
    }
    const auto most = model_.pos_embed_max_size * cell_;
    if (canvas.generated_width > most || canvas.generated_height > most) {
      reject_field("size", concat("is too large: this model generates at most ", most, "x", most, " pixels"));
    }
  }

  DenoiserConditioning row(const std::string& text, const PromptEncodeOptions& options, const RunContext& context) {
    const auto first = clip_[0]->encode(text, options, context), second = clip_[1]->encode(text, options, context);
    const auto states = at::cat({first.embeds, second.embeds}, /*dim=*/2);  // [1, 77, widths of both]
    const auto missing = model_.joint_attention_dim - states.size(2);
    DenoiserConditioning row{.prompt_embeds = at::constant_pad_nd(states, {0, missing}),
                             .text_embeds = at::cat({first.text_embeds, second.text_embeds}, /*dim=*/1),
                             .time_ids = {},
                             .prompt_cut = first.cut || second.cut,
                             .prompt_tokens = second.tokens};
    if (!t5_) {
      // Without T5 its tokens are zeros, and the image attends to them.
      const auto zeros = at::zeros({1, kSd3T5Length, model_.joint_attention_dim}, states.options());
      row.prompt_embeds = at::cat({row.prompt_embeds, zeros}, /*dim=*/1);
      return row;
    }
    const auto third = t5_->encode(text, options.param, context);
    row.prompt_embeds = at::cat({row.prompt_embeds, third.prompt.embeds}, /*dim=*/1);
    row.prompt_cut = third.prompt.cut;  // T5 reads more of a prompt than CLIP does
    row.prompt_tokens = third.prompt.tokens;
    return row;
  }

  std::vector<std::shared_ptr<PromptEncoder>> clip_;
  std::unique_ptr<T5PromptEncoder> t5_;
  SD3Transformer2DConfig model_;
  int cell_;
};

class Sd3DenoisingModel : public DenoisingModel {
 public:
  explicit Sd3DenoisingModel(SD3Transformer2DModel model) : model_(std::move(model)) {}

  at::Tensor predict(const at::Tensor& sample, const at::Tensor& timesteps, const DenoiserConditioning& conditioning,
                     const RunContext& context) const override {
    return model_({.sample = sample,
                   .timesteps = timesteps,
                   .prompt_embeds = conditioning.prompt_embeds,
                   .pooled_projections = conditioning.text_embeds},
                  context);
  }
  bool takes_guidance_scale() const override { return false; }
  at::Tensor embed_guidance_scale(double) const override {
    throw Error(ErrorCode::kInternal, "Stable Diffusion 3 does not take the guidance scale as an input");
  }
  const std::shared_ptr<LayerTable>& layer_table() const override { return model_.layer_table(); }

 private:
  SD3Transformer2DModel model_;
};

/// Checks that the components fit together. @param t5  null where the checkpoint has none
void check_sd3_widths(const PipelineBuilder& builder, const SD3Transformer2DConfig& config, const T5PromptEncoder* t5) {
  const auto reject = [&](const char* key, std::int64_t found, const std::string& other) {
    const auto where = builder.folder().source->config(Component::kTransformer).where();
    throw Error(ErrorCode::kUnsupported, concat(where, ": `", key, "` is ", found, ", but ", other));
  };
  const auto &first = *builder.text_encoders()[0], &second = *builder.text_encoders()[1];
  const auto pooled = first.config().projection_dim + second.config().projection_dim;
  if (pooled != config.pooled_projection_dim) {
    reject("pooled_projection_dim", config.pooled_projection_dim,
           concat("the `projection_dim` of CLIP's encoders add up to ", pooled));
  }
  const auto states = first.config().hidden_size + second.config().hidden_size;
  if (states > config.joint_attention_dim) {
    reject("joint_attention_dim", config.joint_attention_dim,
           concat("the `hidden_size` of CLIP's encoders add up to ", states));
  }
  if (t5 != nullptr && t5->d_model() != config.joint_attention_dim) {
    reject("joint_attention_dim", config.joint_attention_dim, concat("`d_model` of T5 is ", t5->d_model()));
  }
  if (config.out_channels != builder.latent_channels()) {
    reject("out_channels", config.out_channels, concat("the autoencoder has ", builder.latent_channels()));
  }
  if (first.model_max_length() != second.model_max_length()) {
    // The reference cuts both at the first one's length.
    throw Error(ErrorCode::kUnsupported,
                concat(builder.folder().path, ": `model_max_length` of tokenizer and tokenizer_2 differ"));
  }
}

}  // namespace

StepEstimate sd3_step_estimate(Config& denoiser) {
  return [config = SD3Transformer2DConfig::from(denoiser)](const LatentSize& size, const Placement& placement) {
    return step_bytes(config, size, placement);
  };
}

std::unique_ptr<Pipeline> load_stable_diffusion_3(PipelineBuilder& builder) {
  const auto& folder = builder.folder();
  std::unique_ptr<T5PromptEncoder> t5;
  if (folder.components.contains(Component::kTextEncoder3)) {
    t5 = load_t5_prompt_encoder(folder, Component::kTextEncoder3, {.max_length = kSd3T5Length}, builder.placement());
  }
  auto transformer = load_transformer<SD3Transformer2DModel, SD3Transformer2DConfig>(folder, builder.placement());
  const auto config = transformer.config();
  check_sd3_widths(builder, config, t5.get());
  builder.add_denoiser(
      config.in_channels, std::make_unique<Sd3DenoisingModel>(std::move(transformer)),
      std::make_unique<Sd3Conditioner>(builder.text_encoders(), std::move(t5), config, builder.description().cell));
  return builder.build();
}

}  // namespace easel
