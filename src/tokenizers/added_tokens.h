// Tokens that are matched as a whole before the rest of a text is tokenized: special tokens, and words of textual
// inversions.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tokenizers/byte_pair_encoder.h"

namespace easel {

/// How a token is matched; the fields are those of added_tokens in a tokenizer.json.
struct AddedToken {
  std::string content;
  bool single_word = false;  ///< not next to a word character
  bool lstrip = false;       ///< includes white space to its left
  bool rstrip = false;       ///< includes white space to its right
  bool normalized = false;   ///< its normalised form is matched in the normalised text
  bool special = true;

  bool operator==(const AddedToken&) const = default;
};

/// The added tokens of one tokenizer, with the ids that the library `tokenizers` (0.23) gives them.
///
/// Immutable, so safe to share between threads.
class AddedTokens {
 public:
  /// A part of a text: an added token, or the text between two of them.
  struct Piece {
    std::string_view text;
    std::optional<TokenId> id;
  };

  /// @param tokens  in the order in which they are added. A token that the vocabulary contains keeps its id; a new one
  ///                takes the next id, counted from the vocabulary's size. When a token occurs twice, the later flags
  ///                hold, but it stays special if it was
  /// @param split_special_tokens  special tokens are not matched
  /// @param where   the name of the tokens in messages
  /// @throws Error(kUnsupported)  two tokens look the same in a text; which one the library finds is not defined
  AddedTokens(const std::vector<AddedToken>& tokens, const Vocabulary& vocabulary, bool split_special_tokens,
              const std::string& where);

  std::optional<TokenId> token_to_id(const std::string& content) const;

  /// Splits a text at its leftmost longest tokens. The pieces point into `text`.
  std::vector<Piece> split_raw(std::string_view text) const { return split(text, raw_patterns_); }
  std::vector<Piece> split_normalized(std::string_view text) const { return split(text, normalized_patterns_); }

 private:
  /// Ids by the matched text, and the lengths of these texts, longest first.
  struct Patterns {
    std::map<std::string, TokenId, std::less<>> ids;
    std::vector<std::size_t> lengths;
  };
  struct Match {
    std::size_t begin;
    std::size_t end;
    TokenId id;
  };

  static std::optional<Match> next_match(std::string_view text, std::size_t from, const Patterns& patterns);
  std::vector<Piece> split(std::string_view text, const Patterns& patterns) const;

  std::unordered_map<std::string, TokenId> ids_;
  std::map<TokenId, AddedToken> tokens_;
  std::set<std::string> special_;  // contents that at least one entry marked as special
  Patterns raw_patterns_;
  Patterns normalized_patterns_;
  bool split_special_tokens_;
};

}  // namespace easel
