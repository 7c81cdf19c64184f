// tokenizer_config.json and the older files beside it: which tokens are special, how long a prompt may be.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tokenizers/added_tokens.h"
#include "tokenizers/vocabulary_files.h"

namespace easel {

struct TokenizerSettings {
  std::vector<AddedToken> added_tokens;  ///< in the order they are added to the vocabulary, named ones among them
  std::string bos_token;
  std::string eos_token;
  std::string pad_token;
  std::optional<std::string> unk_token;
  std::int64_t model_max_length = 0;
  bool pads_left = false;
  bool truncates_left = false;
  bool split_special_tokens = false;
};

/// Settles what tokenizer_config.json, special_tokens_map.json, added_tokens.json and tokenizer.json say together, in
/// the order of precedence of transformers 5.23.0. All four may be absent, but a length is needed.
///
/// @param name  what messages call the folder
/// @throws Error(kCorruptData, kUnsupported)  names the file and the field
TokenizerSettings read_tokenizer_settings(const std::string& folder, const std::string& name,
                                          const VocabularyFiles& vocabulary);

}  // namespace easel
