#include "pipelines/families/components.h"

#include <utility>

#include "core/text.h"
#include "models/config_reading.h"
#include "pipelines/families/load_errors.h"
#include "weights/loading/weights.h"

namespace easel {
namespace {

/// Builds a model from its config and tensors, all of them and no others.
template <class Model, class ModelConfig>
Model load_model(std::shared_ptr<const TensorStore> store, const ModelConfig& config, const Placement& placement,
                 std::shared_ptr<LayerTable> layers = std::make_shared<LayerTable>()) {
  Weights weights(std::move(store), placement, std::move(layers));
  Model model(config, weights.root());
  weights.finish();
  return model;
}

void check_conditioning(const Config& json, const UNet2DConditionConfig& config, ProvidedConditioning provided) {
  const auto reject = [&](const char* key, const char* allowed) {
    throw unsupported_field(json, key, concat("is not done in this family; easel supports ", allowed, " there"));
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
  auto json = folder.source->config("unet");
  const auto config = UNet2DConditionConfig::from(json);
  check_conditioning(json, config, conditioning);
  auto unet = load_model<UNet2DConditionModel>(folder.source->weights("unet"), config, placement);
  unet.layer_table()->component = "unet";
  return unet;
}

Placement vae_placement(const Checkpoint& folder, VaeFields fields, const Placement& placement) {
  auto config = folder.source->config("vae");
  auto own = placement;
  if (fields != VaeFields::kScalingFactor && placement.dtype == at::kHalf &&
      AutoencoderKLConfig::from(config).force_upcast) {
    own.dtype = at::kFloat;
  }
  return own;
}

ImageCodec load_codec(const Checkpoint& folder, VaeFields fields, const Placement& placement,
                      std::optional<double> scaling_factor) {
  const auto load = [source = folder.source, scaling_factor](const Placement& where) {
    auto json = source->config("vae");
    auto config = AutoencoderKLConfig::from(json);
    config.scaling_factor = scaling_factor.value_or(config.scaling_factor);
    return load_model<AutoencoderKL>(source->weights("vae"), config, where);
  };
  const auto own = vae_placement(folder, fields, placement);
  const Placement wide{.device = own.device, .dtype = at::kFloat};
  return ImageCodec(load(own), fields, own, [=] { return with_load_errors([&] { return load(wide); }); });
}

std::shared_ptr<PromptEncoder> load_prompt_encoder(const Checkpoint& folder, const std::string& suffix,
                                                   PromptState state, const Placement& placement,
                                                   std::shared_ptr<EmbeddingFolder> embeddings) {
  const auto name = "text_encoder" + suffix;
  auto json = folder.source->config(name);
  auto config = CLIPTextConfig::from(json);
  // The reference builds the class that model_index.json names, whatever `architectures` says.
  config.with_projection = folder.components.at(name) == "CLIPTextModelWithProjection";
  // One table for every time the model is built, so that adapters find its layers again.
  const auto layers = std::make_shared<LayerTable>();
  layers->component = name;
  const auto load = [=, source = folder.source] {
    return load_model<CLIPTextModel>(source->weights(name), config, placement, layers);
  };
  const std::function<CLIPTextModel()> reload = [load] { return with_load_errors(load); };
  const auto target = suffix == "_2"                                 ? EmbeddingTarget::kClipG
                      : folder.components.contains("text_encoder_2") ? EmbeddingTarget::kClipL
                                                                     : EmbeddingTarget::kOnly;
  auto tokenizer = folder.source->tokenizer("tokenizer" + suffix);
  tokenizer->check_ids(config.vocab_size);
  return std::make_shared<PromptEncoder>(std::move(tokenizer),
                                         TextEncoder(load(), placement.release_text_encoders ? reload : nullptr), state,
                                         placement.device, LearnedEmbeddings{std::move(embeddings), target});
}

}  // namespace easel
