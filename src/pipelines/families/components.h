// The models that a checkpoint folder holds, each from its config.json and its weights.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "checkpoints/checkpoint.h"
#include "models/unet_2d_condition.h"
#include "pipelines/images/image_codec.h"
#include "pipelines/prompts/prompt_encoder.h"
#include "tensor/placement.h"

namespace easel {

// All that follow read weights. @throws Error(kNotFound, kCorruptData, kUnsupported)  names the file and what is wrong
// with it

/// What a family's pipelines tell their UNet beside prompt and timestep. One that wants more, or less, is refused.
struct ProvidedConditioning {
  bool class_labels = false;
  bool text_and_time = false;  ///< the pooled prompt and time ids
};

UNet2DConditionModel load_unet(const Checkpoint& folder, const Placement& placement,
                               ProvidedConditioning conditioning = {});

/// Where the autoencoder's weights go: float32 where its config asks for that and the rest runs in float16, in which
/// SDXL's overflows; else `placement`.
Placement vae_placement(const Checkpoint& folder, VaeFields fields, const Placement& placement);

/// @param scaling_factor  instead of the config's
ImageCodec load_codec(const Checkpoint& folder, VaeFields fields, const Placement& placement,
                      std::optional<double> scaling_factor = std::nullopt);

/// @param component   the text encoder, which is loaded with its tokenizer
/// @param embeddings  words of textual inversion; null for none
std::shared_ptr<PromptEncoder> load_prompt_encoder(const Checkpoint& folder, Component component, PromptState state,
                                                   const Placement& placement,
                                                   std::shared_ptr<EmbeddingFolder> embeddings = nullptr);

}  // namespace easel
