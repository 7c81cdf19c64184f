// Splits a prompt into chunks of tokens of the length that a text encoder takes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "easel/tokenizer.h"

namespace easel {

/// A position in a chunk that takes a learned vector: one of those of a word of Tokenizer::with_placeholder_tokens.
struct PlaceholderVector {
  std::size_t position;  ///< in input_ids
  std::size_t word;      ///< index of the word
  std::size_t row;       ///< index of the vector among the word's

  bool operator==(const PlaceholderVector&) const = default;
};

struct TokenChunk {
  std::vector<std::int64_t>
      input_ids;               ///< exactly model_max_length; ids at learned positions only serve to compare chunks
  std::vector<float> weights;  ///< one per id; 1 outside the text
  std::vector<PlaceholderVector> learned;  ///< vectors that replace those of the vocabulary

  bool is_weighted() const;  ///< whether a weight is not 1
};

struct ChunkedPrompt {
  std::vector<TokenChunk> chunks;  ///< at least one
  bool cut = false;                ///< the end, or the beginning, of the text was cut off
};

/// The number of vectors of a word of Tokenizer::with_placeholder_tokens, at least 1. What it throws is passed on.
using VectorCount = std::function<std::size_t(std::size_t word)>;

/// The text as one chunk, as diffusers reads it: what does not fit is cut off. A word with n vectors takes n tokens,
/// whose ids are above the checkpoint's own, ordered by word and then by vector.
/// @throws as Tokenizer::token_ids
ChunkedPrompt tokenize_plain_prompt(const Tokenizer& tokenizer, std::string_view text, const VectorCount& vector_count);

/// Brackets set weights (see parse_weighted_prompt), and a text takes as many chunks as it needs. As in AUTOMATIC1111's
/// web UI 1.10, a full chunk ends after its last comma if that is among its last 20 tokens, else where it is full. The
/// vectors of a word stay together. Without brackets, backslashes and BREAK, a text that fits into one chunk is read as
/// by tokenize_plain_prompt, except for the ids at learned positions.
/// @throws Error(kInvalidArgument)  more than 100 chunks, or a word with more vectors than fit into a chunk
/// @throws as Tokenizer::token_ids
ChunkedPrompt tokenize_weighted_prompt(const Tokenizer& tokenizer, std::string_view text,
                                       const VectorCount& vector_count);

}  // namespace easel
