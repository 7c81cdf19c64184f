// A request's prompt and negative prompt, as the UNet wants them: of one length.
#pragma once

#include <memory>
#include <span>

#include "pipelines/prompts/conditioner.h"
#include "pipelines/prompts/prompt_encoder.h"

namespace easel {

/// What stands for a negative prompt that is empty.
enum class EmptyNegative {
  kEncoded,  ///< the empty text, encoded
  kZeros,    ///< zeros (`force_zeros_for_empty_prompt` of SDXL)
};

struct PromptRows {
  EncodedPrompt text;
  EncodedPrompt negative;  ///< undefined tensors where guidance is off

  bool cut() const { return text.cut || negative.cut; }
};

/// Encodes both prompts in the request's syntax; the shorter one is followed by empty chunks.
/// @param encoders  at least one; what they give stands side by side in `embeds`, and `text_embeds` is the last one's
/// @throws as PromptEncoder::encode
PromptRows encode_prompts(std::span<const std::shared_ptr<PromptEncoder>> encoders, const GenerationRequest& request,
                          Guidance guidance, EmptyNegative empty, const RunContext& context);

/// [1, ...] and [1, ...] -> [2, ...]; the second alone where the first is undefined.
at::Tensor concat_rows(const at::Tensor& first, const at::Tensor& second);

}  // namespace easel
