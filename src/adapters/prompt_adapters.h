// Adapters that are named in a prompt.
#pragma once

#include "easel/generation.h"

namespace easel {

/// The request with every <lora:NAME> and <lora:NAME:WEIGHT> taken out of its prompt and added to its loras, in order;
/// <lyco:...> is the same. <lora:NAME:TEXT:UNET>, or with te=TEXT and unet=UNET, has a weight for the text encoders and
/// one for the UNet, which is the former where it is not given: as AUTOMATIC1111's web UI reads them. Other text, and a
/// negative prompt, stay as they are.
/// @throws Error(kInvalidArgument)  a weight is no number, or more than these two; param prompt
GenerationRequest with_prompt_adapters(GenerationRequest request);

}  // namespace easel
