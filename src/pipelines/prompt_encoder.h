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

/// Encodes with one tokenizer and one CLIPTextModel, and remembers the last texts it saw: the empty negative prompt of
/// nearly every request, and the prompt of a person who tries seeds. Not thread-safe.
class PromptEncoder {
 public:
  /// @param device    where the encoder's weights are
  /// @param capacity  texts remembered; an SD 1.5 entry is 77 x 768 numbers
  PromptEncoder(std::unique_ptr<Tokenizer> tokenizer, CLIPTextModel text_encoder, c10::Device device,
                std::size_t capacity = 256);

  /// @param clip_skip  layers left out, counted from the end
  /// @return           [1, T, D], on the encoder's device and in its dtype
  /// @throws Error(kInvalidArgument)  clip_skip is more than there are layers; param clip_skip
  at::Tensor encode(const std::string& text, std::int64_t clip_skip, const RunContext& context);

  std::size_t hits() const { return hits_; }

 private:
  using Entry = std::pair<std::string, at::Tensor>;
  at::Tensor run(const std::string& text, std::int64_t clip_skip, const RunContext& context) const;

  std::unique_ptr<Tokenizer> tokenizer_;
  CLIPTextModel text_encoder_;
  c10::Device device_;
  std::size_t capacity_;
  std::size_t hits_ = 0;
  std::list<Entry> recent_;  // most recently used first
  std::unordered_map<std::string, std::list<Entry>::iterator> by_key_;
};

}  // namespace easel
