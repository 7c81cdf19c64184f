// A prompt as rows of tokens that a text encoder can take, each of the model's length.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "easel/tokenizer.h"

namespace easel {

/// One vector of a word of Tokenizer::with_placeholder_tokens, and where it goes.
struct PlaceholderVector {
  std::size_t position;  ///< in input_ids
  std::size_t word;      ///< which of the words
  std::size_t row;       ///< which of its vectors

  bool operator==(const PlaceholderVector&) const = default;
};

struct TokenChunk {
  std::vector<std::int64_t> input_ids;     ///< exactly model_max_length; at a learned position only to be compared
  std::vector<float> weights;              ///< one an id; 1 outside of the text
  std::vector<PlaceholderVector> learned;  ///< what stands there instead of the vocabulary's vectors

  bool is_weighted() const;  ///< whether a weight is not 1
};

struct ChunkedPrompt {
  std::vector<TokenChunk> chunks;  ///< at least one
  bool cut = false;                ///< the end, or the beginning, of the text is in no chunk
};

/// How many vectors a word of Tokenizer::with_placeholder_tokens stands for: at least 1. It may throw; that goes
/// through.
using VectorCount = std::function<std::size_t(std::size_t word)>;

/// The whole text as one chunk, as diffusers reads it: what does not fit is cut off. A word of n vectors takes n
/// tokens, with ids in the order of words, then of vectors, all above the checkpoint's own.
/// @throws as Tokenizer::token_ids
ChunkedPrompt tokenize_plain_prompt(const Tokenizer& tokenizer, std::string_view text, const VectorCount& vector_count);

/// Brackets as weights (see parse_weighted_prompt), and as many chunks as the text takes, as AUTOMATIC1111's web
/// UI 1.10 makes them: when one is full, a new one begins behind the last comma if that is among its last 20 tokens,
/// else right there. A word's vectors stay together. Without brackets, backslashes and BREAK, a text that fits one
/// chunk is read as tokenize_plain_prompt does, but for the ids at learned positions.
/// @throws Error(kInvalidArgument)  more than 100 chunks, or a word of more vectors than a chunk has room for
/// @throws as Tokenizer::token_ids
ChunkedPrompt tokenize_weighted_prompt(const Tokenizer& tokenizer, std::string_view text,
                                       const VectorCount& vector_count);

}  // namespace easel
