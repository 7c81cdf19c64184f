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
using Merge = std::pair<std::string, std::string>;  // two adjacent tokens that become one

/// GPT-2's spelling of each byte as one code point in UTF-8: a printable Latin-1 character stands for itself, the other
/// bytes are U+0100 and the code points after it.
std::array<std::string, 256> byte_alphabet();

/// Sennrich et al. 2016 (arXiv:1508.07909), on bytes in GPT-2's spelling: each byte is one printable code point, and
/// the last byte of a word has a suffix, which is "</w>" in CLIP's vocabulary. Of all adjacent pairs, the one that
/// comes first in the list of merges is merged first; of equal pairs, the leftmost.
///
/// Immutable, so safe to share between threads.
class BytePairEncoder {
 public:
  /// @param vocabulary   unique ids, 0 to 2^32 - 1; bytes may be missing
  /// @param merges       in order of rank; of equal pairs, the last one counts
  /// @param unknown      id for bytes that are not in the vocabulary, if there is one
  /// @param where        the name of the merges in messages
  /// @param word_suffix  of the last byte of a word; empty if it is spelled like the others
  /// @throws Error(kCorruptData)  a merge names or produces a token that is not in the vocabulary
  BytePairEncoder(const Vocabulary& vocabulary, const std::vector<Merge>& merges, std::optional<TokenId> unknown,
                  const std::string& where, std::string_view word_suffix = "</w>");

  /// Appends the ids of a word. Takes O(n log n) time for n bytes.
  /// @throws Error(kCorruptData)  a byte is not in the vocabulary, and there is no `unknown`
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
