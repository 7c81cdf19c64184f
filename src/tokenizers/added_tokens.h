// Tokens that are found in a text as a whole, before anything else looks at it: special tokens, words that textual
// inversion taught.
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

/// How a token is found; the fields are those of a tokenizer.json's added_tokens.
struct AddedToken {
  std::string content;
  bool single_word = false;  ///< not next to a word character
  bool lstrip = false;       ///< swallows white space on its left
  bool rstrip = false;       ///< swallows white space on its right
  bool normalized = false;   ///< its normalised form is looked for, in the normalised text
  bool special = true;

  bool operator==(const AddedToken&) const = default;
};

/// The added tokens of one tokenizer, with the ids that the `tokenizers` library (0.23) gives them.
///
/// Immutable, so safe to share between threads.
class AddedTokens {
 public:
  /// A stretch of text: an added token, or what lies between two.
  struct Piece {
    std::string_view text;
    std::optional<TokenId> id;
  };

  /// @param tokens  in the order they are added. One that the vocabulary has keeps its id there, a new one takes the
  ///                next id after the vocabulary's size. One that comes twice takes the later flags, but stays special
  /// @param split_special_tokens  special tokens are not looked for
  /// @param where   what messages call them
  /// @throws Error(kUnsupported)  two tokens look the same in a text: which of them the library finds is chance
  AddedTokens(const std::vector<AddedToken>& tokens, const Vocabulary& vocabulary, bool split_special_tokens,
              const std::string& where);

  std::optional<TokenId> token_to_id(const std::string& content) const;

  /// Cuts a text at its leftmost longest tokens. The pieces point into `text`.
  std::vector<Piece> split_raw(std::string_view text) const { return split(text, raw_patterns_); }
  std::vector<Piece> split_normalized(std::string_view text) const { return split(text, normalized_patterns_); }

 private:
  /// Patterns by content, and their lengths, longest first.
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
  std::set<std::string> special_;  // contents that any entry made special
  Patterns raw_patterns_;
  Patterns normalized_patterns_;
  bool split_special_tokens_;
};

}  // namespace easel
