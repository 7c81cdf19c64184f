// Adapters that a prompt names.
#pragma once

#include "easel/generation.h"

namespace easel {

/// Removes every <lora:NAME> and <lora:NAME:WEIGHT> from the prompt and appends it to the request's loras, in order.
/// <lyco:...> means the same. As in AUTOMATIC1111's web UI, <lora:NAME:TEXT:UNET> has separate weights for the text
/// encoders and the UNet, which can also be written te=TEXT and unet=UNET; the UNet's defaults to the text encoders'.
/// Other text and the negative prompt do not change.
/// @throws Error(kInvalidArgument)  a weight is not a number, or there are more than two; param prompt
GenerationRequest with_prompt_adapters(GenerationRequest request);

}  // namespace easel
