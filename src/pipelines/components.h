// The models that a checkpoint folder holds, each from its config.json and its weights.
#pragma once

#include <memory>
#include <string>

#include "models/autoencoder_kl.h"
#include "models/unet_2d_condition.h"
#include "pipelines/checkpoint_folder.h"
#include "pipelines/prompt_encoder.h"
#include "tensor/placement.h"

namespace easel {

// All of these read weights. @throws Error(kNotFound, kCorruptData, kUnsupported)  names the file and what is wrong
// with it

UNet2DConditionModel load_unet(const CheckpointFolder& folder, const Placement& placement);

AutoencoderKL load_vae(const CheckpointFolder& folder, const Placement& placement);

/// @param suffix  "" for text_encoder and tokenizer, "_2" for text_encoder_2 and tokenizer_2
std::shared_ptr<PromptEncoder> load_prompt_encoder(const CheckpointFolder& folder, const std::string& suffix,
                                                   PromptState state, const Placement& placement);

}  // namespace easel
