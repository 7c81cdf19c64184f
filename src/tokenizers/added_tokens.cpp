// Follows AddedVocabulary of the library `tokenizers`, tokenizer/added_vocabulary.rs.
#include "tokenizers/added_tokens.h"

#include <algorithm>
#include <set>

#include "core/text.h"
#include "easel/error.h"
#include "tokenizers/unicode_text.h"

namespace easel {

AddedTokens::AddedTokens(const std::vector<AddedToken>& tokens, const Vocabulary& vocabulary, bool split_special_tokens,
                         const std::string& where)
    : split_special_tokens_(split_special_tokens) {
  // The library takes the number of tokens for the next id and does not look for the highest one. In a vocabulary with
  // gaps a new token may thus get the id of another, which it then replaces, except for the normalised form that was
  // stored for that id.
  auto next_id = static_cast<TokenId>(vocabulary.size());
  std::map<TokenId, std::string> normalized_forms;
  for (const auto& token : tokens) {
    if (token.content.empty()) continue;
    if (!ids_.contains(token.content)) {
      const auto known = vocabulary.find(token.content);
      ids_[token.content] = known == vocabulary.end() ? next_id++ : known->second;
    }
    const TokenId id = ids_[token.content];
    if (token.normalized) {
      auto form = normalize_prompt(token.content);
      if (form != token.content) normalized_forms[id] = std::move(form);
    }
    tokens_[id] = token;
    if (token.special) special_.insert(token.content);
  }
  for (const auto& [id, token] : tokens_) {
    const auto form = normalized_forms.find(id);
    const bool as_is = !token.normalized || form == normalized_forms.end();
    const auto& pattern = as_is ? token.content : form->second;
    auto& patterns = token.normalized ? normalized_patterns_ : raw_patterns_;
    const auto [same, inserted] = patterns.ids.emplace(pattern, id);
    if (!inserted) {
      throw Error(ErrorCode::kUnsupported, concat(where, ": added tokens `", tokens_[same->second].content, "` and `",
                                                  token.content, "` look the same in a text: `", pattern, "`"));
    }
  }
  for (auto* patterns : {&raw_patterns_, &normalized_patterns_}) {
    std::set<std::size_t, std::greater<>> lengths;
    for (const auto& [pattern, id] : patterns->ids) lengths.insert(pattern.size());
    patterns->lengths.assign(lengths.begin(), lengths.end());
  }
}

std::optional<TokenId> AddedTokens::token_to_id(const std::string& content) const {
  const auto found = ids_.find(content);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<AddedTokens::Match> AddedTokens::next_match(std::string_view text, std::size_t from,
                                                          const Patterns& patterns) {
  for (std::size_t begin = from; begin < text.size(); ++begin) {
    for (const auto length : patterns.lengths) {
      if (length > text.size() - begin) continue;
      const auto found = patterns.ids.find(text.substr(begin, length));
      if (found != patterns.ids.end()) return Match{begin, begin + length, found->second};
    }
  }
  return std::nullopt;
}

std::vector<AddedTokens::Piece> AddedTokens::split(std::string_view text, const Patterns& patterns) const {
  std::vector<Piece> pieces;
  std::size_t done = 0;  // everything before this is in `pieces`
  for (auto match = next_match(text, 0, patterns); match; match = next_match(text, match->end, patterns)) {
    const AddedToken& token = tokens_.at(match->id);
    const auto before = text.substr(0, match->begin);
    const auto after = text.substr(match->end);
    if (split_special_tokens_ && special_.contains(token.content)) continue;
    if (token.single_word && (ends_with_word_character(before) || starts_with_word_character(after))) continue;

    // White space may already belong to an earlier token.
    const auto begin = token.lstrip ? std::max(match->begin - trailing_space(before), done) : match->begin;
    const auto end = token.rstrip ? match->end + leading_space(after) : match->end;
    if (done < begin) pieces.push_back({text.substr(done, begin - done), std::nullopt});
    pieces.push_back({text.substr(begin, end - begin), match->id});
    done = end;
  }
  if (done < text.size()) pieces.push_back({text.substr(done), std::nullopt});
  return pieces;
}

}  // namespace easel
