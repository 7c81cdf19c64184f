// Prompts to the states of Qwen3. The most recent results are cached.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/lru_cache.h"
#include "easel/tokenizer.h"
#include "models/text_encoders/qwen3_text_model.h"
#include "nn/run_context.h"
#include "pipelines/prompts/prompt_encoder.h"

namespace easel {

/// What a family does with the rest of max_length.
enum class PromptPadding {
  kNone,         ///< cut off: the model sees the prompt's own tokens only
  kToMaxLength,  ///< filled with padding tokens, whose states the model sees
};

/// What a family reads from Qwen3.
struct QwenPromptOptions {
  QwenTemplate chat_template = QwenTemplate::kThinking;
  std::vector<std::int64_t> states;  ///< hidden_states of these numbers, rising, next to each other in the result
  std::int64_t max_length = 512;     ///< tokens, those of the template included; the rest is cut off
  PromptPadding padding = PromptPadding::kNone;
};

/// Encodes with one tokenizer and one Qwen3TextModel. Not thread-safe.
class QwenPromptEncoder {
 public:
  /// @param reload  builds the same model again. If given, the model is built for each call and released after it
  QwenPromptEncoder(std::unique_ptr<TextTokenizer> tokenizer, Qwen3TextModel model,
                    std::function<Qwen3TextModel()> reload, QwenPromptOptions options, c10::Device device);

  /// `embeds` is [1, T, D]; T is the number of tokens, or max_length with PromptPadding::kToMaxLength.
  /// @param param  the request field that holds the text, for errors
  /// @throws Error(kInvalidArgument)  the text is too long to be read; names the field
  /// @throws Error(kCancelled)
  EncodedPrompt encode(const std::string& text, const char* param, const RunContext& context);

 private:
  /// @param length  of the ids that are not padding
  at::Tensor run(const std::vector<std::int64_t>& ids, std::int64_t length, const RunContext& context) const;

  std::unique_ptr<TextTokenizer> tokenizer_;
  std::optional<Qwen3TextModel> model_;
  std::function<Qwen3TextModel()> reload_;
  QwenPromptOptions options_;
  c10::Device device_;
  LruCache<EncodedPrompt> cache_;
};

}  // namespace easel
