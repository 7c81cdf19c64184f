#include "pipelines/prompts/prompt_rows.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace easel {
namespace {

using Encoders = std::span<const std::shared_ptr<PromptEncoder>>;

/// Appends `empty` to `embeds` until there are `length` tokens. [1, T, D], [1, T', D] -> [1, length, D]
at::Tensor padded(const at::Tensor& embeds, const at::Tensor& empty, std::int64_t length) {
  std::vector<at::Tensor> parts = {embeds};
  for (auto tokens = embeds.size(1); tokens < length; tokens += empty.size(1)) parts.push_back(empty);
  return at::cat(parts, /*dim=*/1);
}

/// Encodes one text with all encoders. A learned embedding may have more vectors for one encoder than for another, and
/// so the text more chunks.
EncodedPrompt encode_text(Encoders encoders, const std::string& text, const PromptEncodeOptions& options,
                          const RunContext& context) {
  std::vector<EncodedPrompt> encoded;
  std::int64_t length = 0;
  for (const auto& encoder : encoders) {
    encoded.push_back(encoder->encode(text, options, context));
    length = std::max(length, encoded.back().embeds.size(1));
  }
  auto result = encoded.back();  // text_embeds is the last encoder's; so is embeds if there is only one encoder
  if (encoded.size() == 1) return result;
  std::vector<at::Tensor> embeds;
  for (std::size_t i = 0; i < encoded.size(); ++i) {
    const bool is_short = encoded[i].embeds.size(1) < length;
    embeds.push_back(is_short ? padded(encoded[i].embeds, encoders[i]->encode("", options, context).embeds, length)
                              : encoded[i].embeds);
    result.cut = result.cut || encoded[i].cut;
  }
  result.embeds = at::cat(embeds, /*dim=*/-1);  // [1, T, D1 + D2]
  return result;
}

void pad(EncodedPrompt& prompt, std::int64_t length, Encoders encoders, const PromptEncodeOptions& options,
         const RunContext& context) {
  if (prompt.embeds.size(1) == length) return;
  prompt.embeds = padded(prompt.embeds, encode_text(encoders, "", options, context).embeds, length);
}

class PromptConditioner : public Conditioner {
 public:
  explicit PromptConditioner(std::shared_ptr<PromptEncoder> encoder) : encoder_(std::move(encoder)) {}

  DenoiserConditioning encode(const GenerationRequest& request, const Canvas&, Guidance guidance,
                              const RunContext& context) override {
    const auto rows = encode_prompts({&encoder_, 1}, request, guidance, EmptyNegative::kEncoded, context);
    return embeddings_of(rows);
  }

 private:
  std::shared_ptr<PromptEncoder> encoder_;
};

}  // namespace

DenoiserConditioning embeddings_of(const PromptRows& rows) {
  return {.prompt_embeds = concat_rows(rows.negative.embeds, rows.text.embeds),
          .text_embeds = {},
          .time_ids = {},
          .prompt_cut = rows.cut(),
          .prompt_tokens = rows.text.tokens};
}

PromptRows encode_prompts(Encoders encoders, const GenerationRequest& request, Guidance guidance, EmptyNegative empty,
                          const RunContext& context) {
  const auto syntax = request.prompt_syntax.value_or(PromptSyntax::kPlain);
  const PromptEncodeOptions options{.syntax = syntax, .clip_skip = request.clip_skip.value_or(0), .param = "prompt"};
  PromptRows rows{.text = encode_text(encoders, request.prompt, options, context), .negative = {}};
  if (guidance == Guidance::kOff) return rows;
  if (empty == EmptyNegative::kZeros && request.negative_prompt.empty()) {
    rows.negative = {.embeds = at::zeros_like(rows.text.embeds), .text_embeds = at::zeros_like(rows.text.text_embeds)};
    return rows;
  }
  // The reference does not apply clip_skip to the negative prompt.
  const PromptEncodeOptions negative{.syntax = syntax, .clip_skip = 0, .param = "negative_prompt"};
  rows.negative = encode_text(encoders, request.negative_prompt, negative, context);
  const auto length = std::max(rows.text.embeds.size(1), rows.negative.embeds.size(1));
  pad(rows.text, length, encoders, options, context);
  pad(rows.negative, length, encoders, negative, context);
  return rows;
}

at::Tensor concat_rows(const at::Tensor& first, const at::Tensor& second) {
  return first.defined() ? at::cat(at::TensorList({first, second})) : second;
}

std::unique_ptr<Conditioner> make_prompt_conditioner(std::shared_ptr<PromptEncoder> encoder) {
  return std::make_unique<PromptConditioner>(std::move(encoder));
}

}  // namespace easel
