#include "pipelines/families/pipeline_builder.h"

#include <algorithm>
#include <utility>

#include "core/text.h"
#include "models/unet/unet_2d_condition.h"
#include "pipelines/denoising/guidance.h"

namespace easel {
namespace {

constexpr double kDefaultDenoisingEnd = 0.8;

class UNetDenoisingModel : public DenoisingModel {
 public:
  explicit UNetDenoisingModel(UNet2DConditionModel unet) : unet_(std::move(unet)) {}

  at::Tensor predict(const at::Tensor& sample, const at::Tensor& timesteps, const DenoiserConditioning& conditioning,
                     const RunContext& context) const override {
    UNetInput input;
    input.sample = sample;
    input.timesteps = timesteps;
    input.encoder_hidden_states = conditioning.prompt_embeds;
    input.added_text_embeds = conditioning.text_embeds;
    input.added_time_ids = conditioning.time_ids;
    input.class_labels = conditioning.class_labels;
    input.timestep_cond = conditioning.timestep_cond;
    return unet_(input, context);
  }
  bool takes_guidance_scale() const override { return unet_.config().time_cond_proj_dim.has_value(); }
  at::Tensor embed_guidance_scale(double guidance_scale) const override {
    return guidance_scale_embedding(guidance_scale, unet_.config().time_cond_proj_dim.value());
  }
  const std::shared_ptr<LayerTable>& layer_table() const override { return unet_.layer_table(); }

 private:
  UNet2DConditionModel unet_;
};

bool reads_with_clip_only(const Family& family) {
  return std::ranges::all_of(family.text_encoders,
                             [](const TextEncoderSpec& text) { return text.kind == TextEncoderKind::kClip; });
}

std::vector<std::shared_ptr<PromptEncoder>> load_text_encoders(const Family& family, const Checkpoint& folder,
                                                               const PipelineOptions& options) {
  // Another encoder would read the name of a learned embedding as text.
  const auto embeddings = reads_with_clip_only(family) ? options.embeddings : nullptr;
  std::vector<std::shared_ptr<PromptEncoder>> encoders;
  for (const auto& text : text_encoders_of(family, folder)) {
    if (text.kind != TextEncoderKind::kClip) continue;
    encoders.push_back(load_prompt_encoder(folder, text.component, text.state, options.placement, embeddings));
  }
  return encoders;
}

}  // namespace

PipelineBuilder::PipelineBuilder(const Family& family, const Checkpoint& folder, ModelDescription description,
                                 const PipelineOptions& options)
    : family_(family),
      folder_(folder),
      description_(std::move(description)),
      options_(options),
      text_encoders_(load_text_encoders(family, folder, options)),
      codec_(load_codec(folder, family.vae_fields, options.placement, family.vae_scaling_factor)) {
  codec_.set_tiling(options.vae_tiling);
  if (folder.preview_source) {
    const Placement resident{.device = options.placement.device, .dtype = options.placement.dtype};
    codec_.set_preview_decoder(load_preview_decoder(folder, resident), resident);
  }
  // The server's default syntax is for CLIP's encoders; others read prompts as they are.
  if (!reads_with_clip_only(family)) options_.prompt_syntax = PromptSyntax::kPlain;
}

const UNet2DConditionConfig& PipelineBuilder::add_unet(const Checkpoint& folder,
                                                       std::unique_ptr<Conditioner> conditioner,
                                                       ProvidedConditioning provided) {
  auto unet = load_unet(folder, options_.placement, provided);
  unets_.push_back(unet.config());
  in_channels_.push_back(unet.config().in_channels);
  denoisers_.push_back({.model = std::make_unique<UNetDenoisingModel>(std::move(unet)),
                        .conditioner = std::move(conditioner),
                        .scheduler_config = SchedulerConfig(folder, family_.scheduler_corrections),
                        .noise_conditioning = family_.noise_conditioning});
  return unets_.back();
}

void PipelineBuilder::add_denoiser(std::int64_t in_channels, std::unique_ptr<const DenoisingModel> model,
                                   std::unique_ptr<Conditioner> conditioner) {
  in_channels_.push_back(in_channels);
  denoisers_.push_back({.model = std::move(model),
                        .conditioner = std::move(conditioner),
                        .scheduler_config = SchedulerConfig(folder_, family_.scheduler_corrections),
                        .noise_conditioning = family_.noise_conditioning,
                        .default_sigmas = family_.default_sigmas,
                        .mu_rule = family_.mu_rule,
                        .pixels_per_token = description_.cell});
}

std::function<Canvas(const ModelDescription&, int, int)> PipelineBuilder::canvas_planner() const {
  return [plan = family_.plan_canvas, denoiser = folder_.source->config(family_.denoising_model)](
             const ModelDescription& model, int width, int height) { return plan(model, denoiser, width, height); };
}

std::unique_ptr<Pipeline> PipelineBuilder::build() {
  const FromNoiseOrImage::Settings settings{.latent_channels = latent_channels(),
                                            .inpainting = inpainting_mode(),
                                            .inpainting_strength = family_.inpainting_strength,
                                            .scheduler_takes_strength = family_.scheduler_takes_strength,
                                            .guidance_rule = family_.guidance_rule,
                                            .strength_rounding = family_.strength_rounding,
                                            .latent_cells = family_.patch_size,
                                            .plan_canvas = canvas_planner()};
  return assemble(std::make_unique<FromNoiseOrImage>(description_, settings));
}

std::unique_ptr<Pipeline> PipelineBuilder::build(std::unique_ptr<const StartStrategy> start,
                                                 std::int64_t extra_channels) {
  const auto expected = latent_channels() + extra_channels;
  if (in_channels_[0] != expected) reject_channels(concat(expected, " in this family"));
  return assemble(std::move(start));
}

void PipelineBuilder::reject_channels(const std::string& supported) const {
  throw Error(ErrorCode::kUnsupported, concat(folder_.source->config(family_.denoising_model).where(),
                                              ": `in_channels` is ", in_channels_[0], "; easel supports ", supported));
}

InpaintingMode PipelineBuilder::inpainting_mode() const {
  const auto latents = latent_channels(), channels = in_channels_[0], with_mask = 2 * latents + 1;
  const auto mode = channels == latents ? InpaintingMode::kBlend : InpaintingMode::kModel;
  if (mode == InpaintingMode::kModel && (channels != with_mask || in_channels_.size() > 1)) {
    reject_channels(concat("the autoencoder's latent_channels, ", latents, ", and for inpainting ", with_mask));
  }
  if (in_channels_.back() != channels) {
    throw Error(ErrorCode::kUnsupported,
                folder_.path + ": the refiner's UNet has another number of input channels than the base's");
  }
  return mode;
}

std::unique_ptr<Pipeline> PipelineBuilder::assemble(std::unique_ptr<const StartStrategy> start) {
  // With two denoisers, adapters apply to the first, as in the reference, where the refiner is a separate pipeline.
  std::vector<std::shared_ptr<LayerTable>> adaptable;
  for (const auto& encoder : text_encoders_) adaptable.push_back(encoder->layer_table());
  adaptable.push_back(denoisers_[0].model->layer_table());
  return std::make_unique<DiffusionPipeline>(
      std::move(description_), options_,
      DiffusionParts{.denoisers = std::move(denoisers_),
                     .codec = std::move(codec_),
                     .start = std::move(start),
                     .fields = family_.fields,
                     .adaptable_models = std::move(adaptable),
                     .denoising_end = folder_.manifest.denoising_end.value_or(kDefaultDenoisingEnd),
                     .guidance_rule = family_.guidance_rule,
                     .latents_dtype = family_.latents_dtype});
}

}  // namespace easel
