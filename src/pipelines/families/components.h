// Loads the models of a checkpoint, each from its config.json and its weights.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "checkpoints/checkpoint.h"
#include "easel/error.h"
#include "models/unet/unet_2d_condition.h"
#include "pipelines/images/image_codec.h"
#include "pipelines/prompts/prompt_encoder.h"
#include "pipelines/prompts/qwen_prompt_encoder.h"
#include "pipelines/prompts/t5_prompt_encoder.h"
#include "tensor/placement.h"
#include "weights/loading/weights.h"

namespace easel {

/// Runs `load`. If a model that is being served lacks a file, it is broken: kNotFound, which says that there is no such
/// model, becomes kCorruptData.
template <class Load>
auto with_load_errors(const Load& load) -> decltype(load()) {
  try {
    return load();
  } catch (const Error& e) {
    throw Error(e.code() == ErrorCode::kNotFound ? ErrorCode::kCorruptData : e.code(), e.what());
  }
}

// The functions below read weights. @throws Error(kNotFound, kCorruptData, kUnsupported)  names the file and what is
// wrong with it

/// What a family's conditioner provides in addition to the prompt. A UNet that needs more, or less, is rejected.
struct ProvidedConditioning {
  bool class_labels = false;
  bool text_and_time = false;  ///< the pooled prompt and the time ids
};

UNet2DConditionModel load_unet(const Checkpoint& folder, const Placement& placement,
                               ProvidedConditioning conditioning = {});

/// Of Component::kTextEncoder, with its tokenizer. @param options  its states are below the model's last one
std::unique_ptr<QwenPromptEncoder> load_qwen_prompt_encoder(const Checkpoint& folder, const QwenPromptOptions& options,
                                                            const Placement& placement);

/// With its tokenizer.
/// @param component  the encoder
std::unique_ptr<T5PromptEncoder> load_t5_prompt_encoder(const Checkpoint& folder, Component component,
                                                        const T5PromptOptions& options, const Placement& placement);

/// Builds a model from its config. Every tensor must be used, and none may be missing.
template <class Model, class ModelConfig>
Model load_model(std::shared_ptr<const TensorStore> store, const ModelConfig& config, const Placement& placement,
                 LoadContext context, std::shared_ptr<LayerTable> layers = std::make_shared<LayerTable>()) {
  Weights weights(std::move(store), placement, std::move(context));
  Model model(config, ModuleScope(weights.root(), std::move(layers)));
  weights.finish();
  weights.prepare();
  return model;
}

/// The transformer that denoises.
template <class Model, class ModelConfig>
Model load_transformer(const Checkpoint& folder, const Placement& placement) {
  auto json = folder.source->config(Component::kTransformer);
  auto model = load_model<Model>(folder.source->weights(Component::kTransformer), ModelConfig::from(json), placement,
                                 folder.load_context);
  model.layer_table()->component = Component::kTransformer;
  return model;
}

/// Where the autoencoder's weights go: `placement`, but in float32 where its config asks for that and the other models
/// run in float16, in which SDXL's autoencoder overflows.
Placement vae_placement(const Checkpoint& folder, VaeFields fields, const Placement& placement);

/// @param scaling_factor  replaces the config's
ImageCodec load_codec(const Checkpoint& folder, VaeFields fields, const Placement& placement,
                      std::optional<double> scaling_factor = std::nullopt);

/// The AutoencoderTiny of Checkpoint::preview_source, which is not null.
/// @throws Error(kUnsupported)  it is another autoencoder
AutoencoderKL load_preview_decoder(const Checkpoint& folder, const Placement& placement);
AutoencoderKLConfig preview_config(const Checkpoint& folder);

/// @param component   the text encoder, which is loaded with its tokenizer
/// @param embeddings  textual inversions; null for none
std::shared_ptr<PromptEncoder> load_prompt_encoder(const Checkpoint& folder, Component component, PromptState state,
                                                   const Placement& placement,
                                                   std::shared_ptr<EmbeddingFolder> embeddings = nullptr);

}  // namespace easel
