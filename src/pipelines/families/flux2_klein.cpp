// Family::load of FLUX.2 klein.
#include <ATen/TensorOperators.h>

#include <utility>

#include "core/text.h"
#include "easel/error.h"
#include "models/memory/activation_memory.h"
#include "models/transformers/flux2_transformer_2d.h"
#include "pipelines/denoising/request_fields.h"
#include "pipelines/families/pipeline_builder.h"
#include "pipelines/families/reference_memory.h"
#include "pipelines/prompts/prompt_rows.h"
#include "pipelines/prompts/qwen_prompt_encoder.h"
#include "pipelines/starts/from_references.h"
#include "tensor/free_memory.h"

namespace easel {
namespace {

// hidden_states of the text encoder, whose layers the checkpoints do not choose.
const std::vector<std::int64_t> kKleinStates = {9, 18, 27};

/// Both prompts at the full length of 512 tokens, whose padding the model sees.
class KleinConditioner : public Conditioner {
 public:
  explicit KleinConditioner(std::unique_ptr<QwenPromptEncoder> encoder) : encoder_(std::move(encoder)) {}

  DenoiserConditioning encode(const GenerationRequest& request, const Canvas&, Guidance guidance,
                              const RunContext& context) override {
    reject_clip_fields(request);
    PromptRows rows{.text = encoder_->encode(request.prompt, "prompt", context), .negative = {}};
    if (guidance == Guidance::kOn) {
      rows.negative = encoder_->encode(request.negative_prompt, "negative_prompt", context);
    }
    return embeddings_of(rows);
  }

 private:
  std::unique_ptr<QwenPromptEncoder> encoder_;
};

class KleinDenoisingModel : public DenoisingModel {
 public:
  explicit KleinDenoisingModel(Flux2Transformer2DModel model) : model_(std::move(model)) {}

  at::Tensor predict(const at::Tensor& sample, const at::Tensor& timesteps, const DenoiserConditioning& conditioning,
                     const RunContext& context) const override {
    constexpr double kTrainTimesteps = 1000;  // the reference does not read it from the scheduler's config
    return model_({.sample = sample,
                   .timesteps = timesteps.to(sample.scalar_type()) / kTrainTimesteps,
                   .prompt_embeds = conditioning.prompt_embeds,
                   .references = conditioning.references},
                  context);
  }
  bool takes_guidance_scale() const override { return false; }
  at::Tensor embed_guidance_scale(double) const override {
    throw Error(ErrorCode::kInternal, "FLUX.2 klein does not take the guidance scale as an input");
  }
  const std::shared_ptr<LayerTable>& layer_table() const override { return model_.layer_table(); }

 private:
  Flux2Transformer2DModel model_;
};

void check_widths(const Checkpoint& folder, const Qwen3TextConfig& text, const Flux2Transformer2DConfig& model) {
  const auto where = [&](Component component) { return folder.source->config(component).where(); };
  const auto least_layers = kKleinStates.back() + 1;
  if (text.num_hidden_layers < least_layers) {
    throw Error(ErrorCode::kUnsupported,
                concat(where(Component::kTextEncoder), ": `num_hidden_layers` is ", text.num_hidden_layers,
                       "; this family reads the states of ", least_layers, " layers"));
  }
  const auto width = static_cast<std::int64_t>(kKleinStates.size()) * text.hidden_size;
  if (model.joint_attention_dim != width) {
    throw Error(ErrorCode::kUnsupported,
                concat(where(Component::kTransformer), ": `joint_attention_dim` is ", model.joint_attention_dim,
                       ", but three states of the text encoder are ", width, " wide"));
  }
}

}  // namespace

StepEstimate flux2_step_estimate(Config& denoiser) {
  return [config = Flux2Transformer2DConfig::from(denoiser)](const LatentSize& size, const Placement& placement) {
    constexpr std::int64_t kPatch = 2;  // cells of the autoencoder along an edge of a token
    return step_bytes(config, {.rows = size.rows, .height = size.height / kPatch, .width = size.width / kPatch},
                      placement);
  };
}

std::function<void(const GenerationRequest&)> check_flux2_references(const Checkpoint& folder,
                                                                     const PipelineOptions& options,
                                                                     const ModelDescription& d) {
  auto json = folder.source->config(Component::kTransformer);
  const auto& placement = options.placement;
  const auto step = [config = Flux2Transformer2DConfig::from(json), placement](const LatentSize& sample,
                                                                               std::span<const LatentSize> references) {
    return step_bytes(config, sample, placement, references);
  };
  return [=, budget = options.device_memory, guides = !is_distilled(folder)](const GenerationRequest& request) {
    if (!request.image) return;
    check_references(request, d.cell);
    // Known only once the device is in use.
    const auto available = budget > 0 ? budget : total_memory(placement.device);
    const auto scale = request.guidance_scale.value_or(d.default_guidance_scale);
    const bool guided = guides && needs_unconditional_row(GuidanceRule::kFromUnconditional, scale);
    ReferenceMemory(d, available, weights_during_step(d, placement), step).check(request, guided ? 2 : 1);
  };
}

void describe_flux2_klein(const Checkpoint& folder, ModelDescription& d) {
  if (is_distilled(folder)) d.unused_fields.insert(d.unused_fields.end(), {"guidance_scale", "negative_prompt"});
}

std::unique_ptr<Pipeline> load_flux2_klein(PipelineBuilder& builder) {
  const auto& folder = builder.folder();
  auto text_json = folder.source->config(Component::kTextEncoder);
  auto model_json = folder.source->config(Component::kTransformer);
  const auto text = Qwen3TextConfig::from(text_json);
  check_widths(folder, text, Flux2Transformer2DConfig::from(model_json));
  auto encoder = load_qwen_prompt_encoder(
      folder,
      {.chat_template = QwenTemplate::kWithoutThinking, .states = kKleinStates, .padding = PromptPadding::kToMaxLength},
      builder.placement());
  auto transformer = load_transformer<Flux2Transformer2DModel, Flux2Transformer2DConfig>(folder, builder.placement());
  const auto channels = transformer.config().in_channels;
  builder.add_denoiser(channels, std::make_unique<KleinDenoisingModel>(std::move(transformer)),
                       std::make_unique<KleinConditioner>(std::move(encoder)));
  const FromReferences::Settings settings{.inpainting_strength = builder.family().inpainting_strength,
                                          .guides = !is_distilled(folder),
                                          .latent_channels = channels};
  return builder.build(std::make_unique<FromReferences>(builder.description(), settings), /*extra_channels=*/0);
}

}  // namespace easel
