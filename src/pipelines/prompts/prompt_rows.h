// A request's prompt and negative prompt as embeddings of one length.
#pragma once

#include <memory>
#include <span>

#include "pipelines/prompts/conditioner.h"
#include "pipelines/prompts/prompt_encoder.h"

namespace easel {

/// What an empty negative prompt becomes.
enum class EmptyNegative {
  kEncoded,  ///< the embedding of the empty text
  kZeros,    ///< zeros (`force_zeros_for_empty_prompt` of SDXL)
};

struct PromptRows {
  EncodedPrompt text;
  EncodedPrompt negative;  ///< undefined tensors where guidance is off

  bool cut() const { return text.cut || negative.cut; }
};

/// Encodes both prompts in the request's syntax and pads the shorter one with empty chunks.
/// @param encoders  at least one. `embeds` holds their results next to each other (last dimension); `text_embeds` is
/// the
///                  last encoder's
/// @throws as PromptEncoder::encode
PromptRows encode_prompts(std::span<const std::shared_ptr<PromptEncoder>> encoders, const GenerationRequest& request,
                          Guidance guidance, EmptyNegative empty, const RunContext& context);

/// [1, ...] and [1, ...] -> [2, ...]; only the second where the first is undefined.
at::Tensor concat_rows(const at::Tensor& first, const at::Tensor& second);

/// What conditions on the embeddings of both prompts and on nothing else.
DenoiserConditioning embeddings_of(const PromptRows& rows);

/// Conditions on the prompt embeddings of one text encoder and on nothing else, as Stable Diffusion 1.x and 2.x do.
std::unique_ptr<Conditioner> make_prompt_conditioner(std::shared_ptr<PromptEncoder> encoder);

}  // namespace easel
