// Merges with a priority queue of candidate pairs over a linked list of symbols, so that even a word of a megabyte is
// encoded in O(n log n).
#include "tokenizers/byte_pair_encoder.h"

#include <algorithm>
#include <functional>

#include "core/text.h"
#include "easel/error.h"

namespace easel {
namespace {

bool is_printable(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

std::optional<TokenId> find_token(const Vocabulary& vocabulary, const std::string& token) {
  const auto found = vocabulary.find(token);
  return found == vocabulary.end() ? std::nullopt : std::optional(found->second);
}

std::uint64_t pair_key(TokenId left, TokenId right) {
  return static_cast<std::uint64_t>(left) << 32 | static_cast<std::uint64_t>(right);
}

using Index = std::uint32_t;
constexpr Index kNone = static_cast<Index>(-1);

struct Symbol {
  std::uint32_t id;
  Index previous;
  Index next;
  bool removed = false;
};

struct Candidate {
  std::uint64_t order;  // rank << 32 | index of the pair's left symbol
  std::uint32_t merged;

  Index left() const { return static_cast<Index>(order); }
  bool operator>(const Candidate& other) const { return order > other.order; }
};

}  // namespace

std::array<std::string, 256> byte_alphabet() {
  std::array<std::string, 256> alphabet;
  unsigned next_code = 0x100;
  for (unsigned byte = 0; byte < 256; ++byte) {
    const unsigned code = is_printable(byte) ? byte : next_code++;
    alphabet[byte] = code < 0x80
                         ? std::string{static_cast<char>(code)}
                         : std::string{static_cast<char>(0xC0 | (code >> 6)), static_cast<char>(0x80 | (code & 0x3F))};
  }
  return alphabet;
}

BytePairEncoder::BytePairEncoder(const Vocabulary& vocabulary, const std::vector<Merge>& merges,
                                 std::optional<TokenId> unknown, const std::string& where, std::string_view word_suffix)
    : unknown_(unknown) {
  const auto alphabet = byte_alphabet();
  for (std::size_t byte = 0; byte < alphabet.size(); ++byte) {
    inner_bytes_[byte] = find_token(vocabulary, alphabet[byte]);
    last_bytes_[byte] = find_token(vocabulary, concat(alphabet[byte], word_suffix));
  }
  merge_rules_.reserve(merges.size());
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const auto& [left, right] = merges[rank];
    const auto known = [&](const std::string& token) {
      if (const auto id = find_token(vocabulary, token)) return *id;
      throw Error(ErrorCode::kCorruptData, concat(where, ": merge ", rank + 1, ", `", left, " ", right, "`, needs `",
                                                  token, "`, which is not in the vocabulary"));
    };
    const auto key = pair_key(known(left), known(right));
    merge_rules_.insert_or_assign(
        key, MergeRule{static_cast<std::uint32_t>(rank), static_cast<std::uint32_t>(known(left + right))});
  }
}

TokenId BytePairEncoder::byte_to_id(unsigned char byte, bool last) const {
  if (const auto id = (last ? last_bytes_ : inner_bytes_)[byte]) return *id;
  if (unknown_) return *unknown_;
  throw Error(ErrorCode::kCorruptData, concat("the vocabulary has no token for byte ", static_cast<int>(byte),
                                              last ? " at the end of a word" : "", " and no unknown token"));
}

const BytePairEncoder::MergeRule* BytePairEncoder::find_merge_rule(TokenId left, TokenId right) const {
  const auto found = merge_rules_.find(pair_key(left, right));
  return found == merge_rules_.end() ? nullptr : &found->second;
}

void BytePairEncoder::encode(std::string_view word, std::vector<TokenId>& ids) const {
  std::vector<Symbol> symbols;
  symbols.reserve(word.size());
  const auto count = static_cast<Index>(word.size());
  for (Index i = 0; i < count; ++i) {
    const bool last = i + 1 == count;
    const auto id = byte_to_id(static_cast<unsigned char>(word[i]), last);
    symbols.push_back({static_cast<std::uint32_t>(id), i == 0 ? kNone : i - 1, last ? kNone : i + 1});
  }

  std::vector<Candidate> queue;
  queue.reserve(word.size());
  const auto consider = [&](Index left) {
    if (left == kNone || symbols[left].next == kNone) return false;
    const MergeRule* rule = find_merge_rule(symbols[left].id, symbols[symbols[left].next].id);
    if (rule) queue.push_back({std::uint64_t{rule->rank} << 32 | left, rule->merged});
    return rule != nullptr;
  };
  const auto push = [&](Index left) {
    if (consider(left)) std::push_heap(queue.begin(), queue.end(), std::greater<>());
  };
  for (Index i = 0; i < count; ++i) consider(i);
  std::make_heap(queue.begin(), queue.end(), std::greater<>());

  while (!queue.empty()) {
    std::pop_heap(queue.begin(), queue.end(), std::greater<>());
    const Candidate best = queue.back();
    queue.pop_back();
    Symbol& left = symbols[best.left()];
    if (left.removed || left.next == kNone) continue;
    Symbol& right = symbols[left.next];
    // The pair may have changed since it was queued; it still counts if it produces the same token.
    const MergeRule* rule = find_merge_rule(left.id, right.id);
    if (!rule || rule->merged != best.merged) continue;

    left.id = best.merged;
    left.next = right.next;
    right.removed = true;
    if (right.next != kNone) symbols[right.next].previous = best.left();
    push(left.previous);
    push(best.left());
  }
  for (Index i = 0; i != kNone && i < count; i = symbols[i].next) ids.push_back(symbols[i].id);
}

}  // namespace easel
