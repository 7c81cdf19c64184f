// Loads the models of a checkpoint, each from its config.json and its weights.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "checkpoints/checkpoint.h"
#include "easel/error.h"
#include "models/transformers/z_image_transformer_2d.h"
#include "models/unet/unet_2d_condition.h"
#include "pipelines/images/image_codec.h"
#include "pipelines/prompts/prompt_encoder.h"
#include "pipelines/prompts/qwen_prompt_encoder.h"
#include "tensor/placement.h"

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

ZImageTransformer2DModel load_z_image_transformer(const Checkpoint& folder, const Placement& placement);

/// Of Component::kTextEncoder, with its tokenizer. @param options  its states are below the model's last one
std::unique_ptr<QwenPromptEncoder> load_qwen_prompt_encoder(const Checkpoint& folder, const QwenPromptOptions& options,
                                                            const Placement& placement);

/// Where the autoencoder's weights go: `placement`, but in float32 where its config asks for that and the other models
/// run in float16, in which SDXL's autoencoder overflows.
Placement vae_placement(const Checkpoint& folder, VaeFields fields, const Placement& placement);

/// @param scaling_factor  replaces the config's
ImageCodec load_codec(const Checkpoint& folder, VaeFields fields, const Placement& placement,
                      std::optional<double> scaling_factor = std::nullopt);

/// @param component   the text encoder, which is loaded with its tokenizer
/// @param embeddings  textual inversions; null for none
std::shared_ptr<PromptEncoder> load_prompt_encoder(const Checkpoint& folder, Component component, PromptState state,
                                                   const Placement& placement,
                                                   std::shared_ptr<EmbeddingFolder> embeddings = nullptr);

}  // namespace easel
