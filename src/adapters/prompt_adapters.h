// Adapters that are named in a prompt.
#pragma once

#include "easel/generation.h"

namespace easel {

/// The request with every <lora:NAME> and <lora:NAME:WEIGHT> taken out of its prompt and added to its loras, in order;
/// <lyco:...> is the same. Other text, and a negative prompt, stay as they are.
/// @throws Error(kInvalidArgument)  WEIGHT is no number; param prompt
GenerationRequest with_prompt_adapters(GenerationRequest request);

}  // namespace easel
