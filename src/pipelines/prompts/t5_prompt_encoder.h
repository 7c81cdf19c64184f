// Prompts to the states of T5. The most recent results are cached.
#pragma once

#include <c10/core/Device.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/lru_cache.h"
#include "easel/tokenizer.h"
#include "models/text_encoders/t5_encoder_model.h"
#include "nn/run_context.h"
#include "pipelines/prompts/prompt_encoder.h"

namespace easel {

/// Whether the padding after a prompt takes part in attention.
enum class T5Padding {
  kAttended,  ///< FLUX.1, Stable Diffusion 3
  kMasked,    ///< PixArt
};

/// What a family reads from T5.
struct T5PromptOptions {
  std::int64_t max_length = 512;  ///< tokens, the end of the text included; the rest is cut off
  T5Padding padding = T5Padding::kAttended;
};

/// Encodes with one tokenizer and one T5EncoderModel. Not thread-safe.
class T5PromptEncoder {
 public:
  /// @param reload  builds the same model again. If given, the model is built for each call and released after it
  T5PromptEncoder(std::unique_ptr<TextTokenizer> tokenizer, T5EncoderModel model,
                  std::function<T5EncoderModel()> reload, T5PromptOptions options, c10::Device device);

  /// The width of its states.
  std::int64_t d_model() const { return d_model_; }

  struct Result {
    EncodedPrompt prompt;     ///< `embeds` is [1, max_length, d_model], with the states of the padding
    std::int64_t length = 0;  ///< the tokens before the padding
  };

  /// @param param  the request field that holds the text, for errors
  /// @throws Error(kInvalidArgument)  the text is too long to be read; names the field
  /// @throws Error(kCancelled)
  Result encode(const std::string& text, const char* param, const RunContext& context);

 private:
  at::Tensor run(const EncodedText& text, const RunContext& context) const;

  std::unique_ptr<TextTokenizer> tokenizer_;
  std::int64_t d_model_;
  std::optional<T5EncoderModel> model_;
  std::function<T5EncoderModel()> reload_;
  T5PromptOptions options_;
  c10::Device device_;
  LruCache<at::Tensor> cache_;
};

}  // namespace easel
