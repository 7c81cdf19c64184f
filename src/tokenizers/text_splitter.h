// Added tokens of the tokenizers that make ordinary text and added tokens into ids in separate ways: T5 and Qwen.
#pragma once

#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/config.h"
#include "tokenizers/added_tokens.h"

namespace easel {

using AddedTokensById = std::map<TokenId, AddedToken>;

/// What the files of one folder, which are read together, say about added tokens.
struct AddedTokenSources {
  std::string folder;
  std::string name;                                 ///< what error messages call the folder
  Config config;                                    ///< tokenizer_config.json
  std::vector<nlohmann::json> from_tokenizer_json;  ///< `added_tokens` of tokenizer.json
};

/// Opens tokenizer_config.json, which may be absent, and rejects the settings that would change ids: `padding_side` and
/// `truncation_side` "left", `split_special_tokens`, and files that replace others.
/// @throws Error(kNotFound)                    there is no such folder
/// @throws Error(kCorruptData, kUnsupported)  names the file and the field
AddedTokenSources open_added_token_sources(const std::string& folder);

/// The text of a special token: from tokenizer_config.json, or where that does not list added tokens, from
/// special_tokens_map.json.
/// @param key  "eos_token" and the like
/// @return     none where no file has it, or where it is null
std::optional<std::string> special_token(const AddedTokenSources& sources, const std::string& key);

/// The added tokens with the ids that transformers 5.23.0 gives them: that of the vocabulary, or the next free one.
/// @param vocabulary_size  the first free id
/// @param find             the id of a token in the vocabulary
/// @param special          tokens that are added if no file has them
/// @throws Error(kUnsupported)  a file has another id for a token
/// @throws Error(kCorruptData)  names the file and the token
AddedTokensById read_added_tokens(const AddedTokenSources& sources, TokenId vocabulary_size,
                                  const std::function<std::optional<TokenId>(const std::string&)>& find,
                                  const std::vector<std::string>& special);

/// Cuts a text at added tokens, and normalises what lies between them. Immutable, so safe to share between threads.
class TextSplitter {
 public:
  using Normalize = std::function<std::string(std::string_view)>;

  /// @param normalize  thread-safe
  TextSplitter(const AddedTokensById& tokens, Normalize normalize, const std::string& where);

  /// Calls `on_token` for every added token and `on_text` for every normalised stretch of text, in order.
  /// @param text  UTF-8; what is invalid is read as U+FFFD
  /// @throws Error(kInvalidArgument)  more than 2^28 bytes
  void split(std::string_view text, const std::function<void(TokenId)>& on_token,
             const std::function<void(std::string_view)>& on_text) const;

 private:
  Normalize normalize_;
  AddedTokens raw_;         // found in the text as it is
  AddedTokens normalized_;  // found in the normalised text
};

/// The length of TextTokenizer::encode as a size.
/// @throws Error(kInvalidArgument)  not from 1 to 65,536
std::size_t check_max_length(std::int64_t max_length);

/// Checks that the text encoder has an embedding for every id.
/// @throws Error(kCorruptData)  names the token
void check_id(TokenId id, const std::string& token, std::int64_t vocab_size, const std::string& where);

}  // namespace easel
