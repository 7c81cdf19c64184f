// Reads tokenizer_config.json and the older files that go with it: special tokens, and the length of a prompt.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tokenizers/added_tokens.h"
#include "tokenizers/vocabulary_files.h"

namespace easel {

struct TokenizerSettings {
  std::vector<AddedToken>
      added_tokens;  ///< in the order in which they are added to the vocabulary; includes the named ones below
  std::string bos_token;
  std::string eos_token;
  std::string pad_token;
  std::optional<std::string> unk_token;
  std::int64_t model_max_length = 0;
  bool pads_left = false;
  bool truncates_left = false;
  bool split_special_tokens = false;
};

/// Combines tokenizer_config.json, special_tokens_map.json, added_tokens.json and tokenizer.json with the precedence
/// that transformers 5.23.0 gives them. Each file may be absent, but one of them must give the maximum length.
///
/// @param name  the name of the folder in messages
/// @throws Error(kCorruptData, kUnsupported)  the message names the file and the field
TokenizerSettings read_tokenizer_settings(const std::string& folder, const std::string& name,
                                          const VocabularyFiles& vocabulary);

}  // namespace easel
