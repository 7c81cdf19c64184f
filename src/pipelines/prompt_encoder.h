// Prompts to embeddings, each text once.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>

#include "easel/tokenizer.h"
#include "models/clip_text_model.h"
#include "nn/run_context.h"

namespace easel {

/// Which of a text encoder's states a family conditions on.
enum class PromptState {
  kLastNormed,   ///< the last layer's, after the final LayerNorm (SD 1.x and 2.x)
  kPenultimate,  ///< that of the layer before the last, as it is (SDXL)
  kLastPooled,   ///< the last layer's, as it is, and the pooled text without a projection (the latent upscaler)
};

struct EncodedPrompt {
  at::Tensor embeds;       ///< [1, T, D]
  at::Tensor text_embeds;  ///< [1, P], pooled and projected, or only pooled (kLastPooled); undefined where a family
                           ///< or its encoder has none
};

/// Encodes with one tokenizer and one CLIPTextModel, and remembers the last texts it saw: the empty negative prompt of
/// nearly every request, and the prompt of a person who tries seeds. Not thread-safe.
class PromptEncoder {
 public:
  /// @param device    where the encoder's weights are
  /// @param capacity  texts remembered; an SD 1.5 entry is 77 x 768 numbers
  PromptEncoder(std::unique_ptr<Tokenizer> tokenizer, CLIPTextModel text_encoder, PromptState state, c10::Device device,
                std::size_t capacity = 256);

  /// Layers that encode can be told to leave out.
  std::int64_t max_clip_skip() const;

  /// @param clip_skip  layers left out before the state that the family takes, 0 to max_clip_skip()
  /// @return           on the encoder's device and in its dtype
  /// @throws Error(kInvalidArgument)  clip_skip is more than there are layers; param clip_skip
  EncodedPrompt encode(const std::string& text, std::int64_t clip_skip, const RunContext& context);

  std::size_t hits() const { return hits_; }

 private:
  using Entry = std::pair<std::string, EncodedPrompt>;
  EncodedPrompt run(const std::string& text, std::int64_t clip_skip, const RunContext& context) const;

  std::unique_ptr<Tokenizer> tokenizer_;
  CLIPTextModel text_encoder_;
  PromptState state_;
  c10::Device device_;
  std::size_t capacity_;
  std::size_t hits_ = 0;
  std::list<Entry> recent_;  // most recently used first
  std::unordered_map<std::string, std::list<Entry>::iterator> by_key_;
};

}  // namespace easel
