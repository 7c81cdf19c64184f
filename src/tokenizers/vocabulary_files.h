// vocab.json and merges.txt, or the tokenizer.json that replaces both.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tokenizers/byte_pair_encoder.h"

namespace easel {

/// What the vocabulary files of one folder hold.
struct VocabularyFiles {
  Vocabulary vocabulary;
  std::vector<Merge> merges;  ///< in order of rank
  std::string merges_where;   ///< what messages call the file of the merges

  /// From tokenizer.json alone: its added tokens as they stand there, and the sides of its padding and truncation,
  /// "left" or "right".
  std::vector<nlohmann::json> added_tokens;
  std::optional<std::string> padding_side;
  std::optional<std::string> truncation_side;
};

/// Reads tokenizer.json where there is one, as transformers does, and vocab.json with merges.txt otherwise. The
/// normaliser, pre-tokeniser and post-processor that a tokenizer.json describes are not CLIP's business: transformers'
/// CLIPTokenizer brings its own.
///
/// @param name  what messages call the folder
/// @throws Error(kNotFound, kCorruptData, kUnsupported)  names the file and what is wrong with it
VocabularyFiles read_vocabulary_files(const std::string& folder, const std::string& name);

}  // namespace easel
