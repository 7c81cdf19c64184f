// Reads vocab.json and merges.txt, or the tokenizer.json that replaces both.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tokenizers/byte_pair_encoder.h"

namespace easel {

/// The contents of the vocabulary files of one folder.
struct VocabularyFiles {
  Vocabulary vocabulary;
  std::vector<Merge> merges;  ///< in order of rank
  std::string merges_where;   ///< name of the merges' file in messages

  /// Only from tokenizer.json: its added tokens, unchanged, and the sides of padding and truncation, "left" or "right".
  std::vector<nlohmann::json> added_tokens;
  std::optional<std::string> padding_side;
  std::optional<std::string> truncation_side;
};

/// Reads tokenizer.json where it exists, as transformers does, else vocab.json and merges.txt. The normalizer,
/// pre-tokenizer and post-processor of a tokenizer.json are not used, because the CLIPTokenizer of transformers
/// replaces them with its own.
///
/// @param name  the name of the folder in messages
/// @throws Error(kNotFound, kCorruptData, kUnsupported)  the message names the file and what is wrong with it
VocabularyFiles read_vocabulary_files(const std::string& folder, const std::string& name);

}  // namespace easel
