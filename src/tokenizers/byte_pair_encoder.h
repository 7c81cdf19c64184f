// Byte-level byte pair encoding of one word.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace easel {

using TokenId = std::int64_t;
using Vocabulary = std::unordered_map<std::string, TokenId>;
using Merge = std::pair<std::string, std::string>;  // two neighbouring tokens that become one

/// Sennrich et al. 2016 (arXiv:1508.07909) on bytes, as GPT-2 spells them: each byte is one printable code point, and a
/// word's last byte carries a suffix, which is "</w>" in CLIP's vocabulary. Among all pairs of neighbours the one
/// earliest in the list of merges is merged first, the leftmost of equals.
///
/// Immutable, so safe to share between threads.
class BytePairEncoder {
 public:
  /// @param vocabulary  ids unique, 0 to 2^32 - 1; bytes may be missing
  /// @param merges      in order of rank; of equal pairs the last one counts
  /// @param unknown     id that stands for a byte which is not in the vocabulary, if there is one
  /// @param where       what messages call the merges
  /// @param word_suffix empty if a word's last byte is spelled like the others
  /// @throws Error(kCorruptData)  a merge that takes or makes a token which is not in the vocabulary
  BytePairEncoder(const Vocabulary& vocabulary, const std::vector<Merge>& merges, std::optional<TokenId> unknown,
                  const std::string& where, std::string_view word_suffix = "</w>");

  /// Appends the word's ids. Takes O(n log n) for n bytes.
  /// @throws Error(kCorruptData)  a byte that is not in the vocabulary, and no `unknown`
  void encode(std::string_view word, std::vector<TokenId>& ids) const;

 private:
  struct MergeRule {
    std::uint32_t rank;
    std::uint32_t merged;
  };

  TokenId byte_to_id(unsigned char byte, bool last) const;
  const MergeRule* find_merge_rule(TokenId left, TokenId right) const;

  std::array<std::optional<TokenId>, 256> inner_bytes_;
  std::array<std::optional<TokenId>, 256> last_bytes_;
  std::unordered_map<std::uint64_t, MergeRule> merge_rules_;  // by left << 32 | right
  std::optional<TokenId> unknown_;
};

}  // namespace easel
