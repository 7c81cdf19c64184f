#include "pipelines/families/components.h"

#include <utility>

#include "core/text.h"
#include "models/config_reading.h"
#include "weights/loading/weights.h"

namespace easel {
namespace {

void check_conditioning(const Config& json, const UNet2DConditionConfig& config, ProvidedConditioning provided) {
  const auto reject = [&](const char* key, const char* allowed) {
    throw unsupported_field(json, key, concat("is not supported in this family; easel supports ", allowed, " there"));
  };
  if (config.class_embed_type != ClassEmbedType::kNone && !provided.class_labels) {
    reject(config.class_embed_type == ClassEmbedType::kEmbedding ? "num_class_embeds" : "class_embed_type", "null");
  }
  const bool text_and_time = config.addition_embed_type == AdditionEmbedType::kTextTime;
  if (text_and_time && !provided.text_and_time) reject("addition_embed_type", "null and text");
  if (!text_and_time && provided.text_and_time) reject("addition_embed_type", "text_time");
}

}  // namespace

UNet2DConditionModel load_unet(const Checkpoint& folder, const Placement& placement,
                               ProvidedConditioning conditioning) {
  auto json = folder.source->config(Component::kUnet);
  const auto config = UNet2DConditionConfig::from(json);
  check_conditioning(json, config, conditioning);
  auto unet = load_model<UNet2DConditionModel>(folder.source->weights(Component::kUnet), config, placement,
                                               folder.load_context);
  unet.layer_table()->component = Component::kUnet;
  return unet;
}

std::unique_ptr<QwenPromptEncoder> load_qwen_prompt_encoder(const Checkpoint& folder, const QwenPromptOptions& options,
                                                            const Placement& placement) {
  auto json = folder.source->config(Component::kTextEncoder);
  const auto config = Qwen3TextConfig::from(json);
  const auto load = [=, layers = options.states.back(), source = folder.source](const LoadContext& context) {
    Weights weights(source->weights(Component::kTextEncoder), placement, context);
    Qwen3TextModel model(config, layers, weights.root());
    weights.finish();
    weights.prepare();
    return model;
  };
  std::function<Qwen3TextModel()> reload;
  if (placement.release_text_encoders) {
    reload = [load, again = folder.load_context.without_meter()] {
      return with_load_errors([&] { return load(again); });
    };
  }
  auto tokenizer = folder.source->text_tokenizer(Component::kTokenizer, TextTokenizerKind::kQwen, config.vocab_size);
  return std::make_unique<QwenPromptEncoder>(std::move(tokenizer), load(folder.load_context), std::move(reload),
                                             options, placement.device);
}

std::unique_ptr<T5PromptEncoder> load_t5_prompt_encoder(const Checkpoint& folder, Component component,
                                                        const T5PromptOptions& options, const Placement& placement) {
  auto json = folder.source->config(component);
  const auto config = T5EncoderConfig::from(json);
  const auto load = [=, source = folder.source](const LoadContext& context) {
    return load_model<T5EncoderModel>(source->weights(component), config, placement, context);
  };
  std::function<T5EncoderModel()> reload;
  if (placement.release_text_encoders) {
    reload = [load, again = folder.load_context.without_meter()] {
      return with_load_errors([&] { return load(again); });
    };
  }
  auto tokenizer = folder.source->text_tokenizer(tokenizer_of(component), TextTokenizerKind::kT5, config.vocab_size);
  return std::make_unique<T5PromptEncoder>(std::move(tokenizer), load(folder.load_context), std::move(reload), options,
                                           placement.device);
}

Placement vae_placement(const Checkpoint& folder, VaeFields fields, const Placement& placement) {
  auto config = folder.source->config(Component::kVae);
  auto own = placement;
  const bool reads_upcast = fields == VaeFields::kForceUpcast || fields == VaeFields::kAll;
  if (reads_upcast && placement.dtype == at::kHalf && AutoencoderKLConfig::from(config).force_upcast) {
    own.dtype = at::kFloat;
  }
  return own;
}

ImageCodec load_codec(const Checkpoint& folder, VaeFields fields, const Placement& placement,
                      std::optional<double> scaling_factor) {
  const auto load = [source = folder.source, scaling_factor](const Placement& where, const LoadContext& context) {
    auto json = source->config(Component::kVae);
    auto config = AutoencoderKLConfig::from(json);
    config.scaling_factor = scaling_factor.value_or(config.scaling_factor);
    return load_model<AutoencoderKL>(source->weights(Component::kVae), config, where, context);
  };
  const auto own = vae_placement(folder, fields, placement);
  const Placement wide{.device = own.device, .dtype = at::kFloat};
  const auto again = folder.load_context.without_meter();
  return ImageCodec(load(own, folder.load_context), fields, own,
                    [=] { return with_load_errors([&] { return load(wide, again); }); });
}

AutoencoderKLConfig preview_config(const Checkpoint& folder) {
  auto json = folder.preview_source->config(Component::kVae);
  auto config = AutoencoderKLConfig::from(json);
  if (config.tiny) return config;
  throw unsupported_field(json, "_class_name", "is not supported for previews; easel supports AutoencoderTiny there");
}

AutoencoderKL load_preview_decoder(const Checkpoint& folder, const Placement& placement) {
  return load_model<AutoencoderKL>(folder.preview_source->weights(Component::kVae), preview_config(folder), placement,
                                   folder.load_context);
}

std::shared_ptr<PromptEncoder> load_prompt_encoder(const Checkpoint& folder, Component component, PromptState state,
                                                   const Placement& placement,
                                                   std::shared_ptr<EmbeddingFolder> embeddings) {
  auto json = folder.source->config(component);
  auto config = CLIPTextConfig::from(json);
  // The reference builds the class that model_index.json names and ignores `architectures`.
  config.with_projection = folder.components.at(component) == "CLIPTextModelWithProjection";
  // One table for all times that the model is built, so that adapters find its layers again.
  const auto layers = std::make_shared<LayerTable>();
  layers->component = component;
  const auto load = [=, source = folder.source](const LoadContext& context) {
    return load_model<CLIPTextModel>(source->weights(component), config, placement, context, layers);
  };
  const std::function<CLIPTextModel()> reload = [load, again = folder.load_context.without_meter()] {
    return with_load_errors([&] { return load(again); });
  };
  const auto target = component == Component::kTextEncoder2                  ? EmbeddingTarget::kClipG
                      : folder.components.contains(Component::kTextEncoder2) ? EmbeddingTarget::kClipL
                                                                             : EmbeddingTarget::kOnly;
  auto tokenizer = folder.source->tokenizer(tokenizer_of(component));
  tokenizer->check_ids(config.vocab_size);
  return std::make_shared<PromptEncoder>(
      std::move(tokenizer), TextEncoder(load(folder.load_context), placement.release_text_encoders ? reload : nullptr),
      state, placement.device, LearnedEmbeddings{std::move(embeddings), target});
}

}  // namespace easel
