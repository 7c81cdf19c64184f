// After the `spm_precompiled` crate (0.1.4), which the `tokenizers` library uses.
#include "tokenizers/unigram/precompiled_charsmap.h"

#include "core/text.h"
#include "tokenizers/corrupt_data.h"
#include "tokenizers/unicode_segments.h"
#include "tokenizers/unicode_text.h"

namespace easel {
namespace {

// darts-clone writes units in blocks of this many. The children of a node are in one block, so an offset within the
// array is enough for all of them to be.
constexpr std::size_t kBlock = 256;
constexpr std::uint32_t kLeafBit = std::uint32_t{1} << 31;

// The fields of one unit of a darts-clone array.
std::uint32_t label(std::uint32_t unit) {
  return unit & (kLeafBit | 0xFF);
}
bool has_leaf(std::uint32_t unit) {
  return (unit >> 8 & 1) != 0;
}
std::size_t offset(std::uint32_t unit) {
  return std::size_t{unit >> 10} << ((unit & (1u << 9)) >> 6);
}

std::size_t code_point_length(std::string_view text, std::size_t begin) {
  std::size_t end = begin + 1;
  while (end < text.size() && is_utf8_continuation(text[end])) ++end;
  return end - begin;
}

}  // namespace

PrecompiledCharsmap::PrecompiledCharsmap(std::string_view bytes, const std::string& where) {
  if (bytes.empty()) return;
  const auto word_at = [&](std::size_t i) {
    std::uint32_t word = 0;
    for (std::size_t k = 4; k-- > 0;) word = word << 8 | static_cast<unsigned char>(bytes[i + k]);
    return word;
  };
  if (bytes.size() < 4) throw corrupt_data(concat(where, " has ", bytes.size(), " bytes, expected the size of a trie"));
  const std::size_t size = word_at(0);
  if (size > bytes.size() - 4 || size == 0 || size % (4 * kBlock) != 0) {
    throw corrupt_data(concat(where, ": the trie has ", size, " of the table's ", bytes.size(),
                              " bytes, expected a multiple of ", 4 * kBlock, " that leaves room for the replacements"));
  }
  for (std::size_t i = 4; i < 4 + size; i += 4) units_.push_back(word_at(i));
  replacements_ = bytes.substr(4 + size);
  if (replacements_.empty() || replacements_.back() != '\0') {
    throw corrupt_data(concat(where, ": the replacements do not end with a zero byte"));
  }
  if (to_valid_utf8(replacements_) != replacements_)
    throw corrupt_data(concat(where, ": the replacements are not UTF-8"));
  check_trie(where);
}

void PrecompiledCharsmap::check_leaf(std::size_t unit, const std::string& where) const {
  const auto value = units_[unit] & ~kLeafBit;
  if ((units_[unit] & kLeafBit) == 0 || value >= replacements_.size() || is_utf8_continuation(replacements_[value])) {
    throw corrupt_data(concat(where, ": unit ", unit, " of the trie is ", units_[unit],
                              ", expected the offset of a replacement, below ", replacements_.size()));
  }
}

// Depth first, with a stack of its own. Nodes may share children, because darts-clone merges equal subtrees.
void PrecompiledCharsmap::check_trie(const std::string& where) const {
  enum class State : std::uint8_t { kNew, kOpen, kDone };
  struct Visit {
    std::size_t base;
    std::uint32_t next_label;
  };
  std::vector<State> states(units_.size(), State::kNew);  // by the offset of a node's children
  std::vector<Visit> stack;
  const auto enter = [&](std::size_t unit) {
    const auto base = unit ^ offset(units_[unit]);
    if (base >= units_.size()) {
      throw corrupt_data(
          concat(where, ": unit ", unit, " of the trie leads to ", base, ", expected less than ", units_.size()));
    }
    if (unit != 0 && has_leaf(units_[unit])) check_leaf(base, where);
    if (states[base] == State::kOpen)
      throw corrupt_data(concat(where, ": unit ", unit, " of the trie closes a circle"));
    if (states[base] == State::kDone) return;
    states[base] = State::kOpen;
    stack.push_back({base, 1});
  };
  enter(0);
  while (!stack.empty()) {
    auto& visit = stack.back();
    if (visit.next_label > 0xFF) {
      states[visit.base] = State::kDone;
      stack.pop_back();
      continue;
    }
    const auto child_label = visit.next_label++;
    const auto child = visit.base ^ child_label;
    if (label(units_[child]) == child_label) enter(child);
  }
}

std::optional<std::string_view> PrecompiledCharsmap::replacement(std::string_view text) const {
  std::size_t node = offset(units_[0]);
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte == 0) break;
    node ^= byte;
    const auto unit = units_[node];
    if (label(unit) != byte) break;
    node ^= offset(unit);
    if (!has_leaf(unit)) continue;
    const auto begin = units_[node] & ~kLeafBit;
    const auto end = replacements_.find('\0', begin);
    return std::string_view(replacements_).substr(begin, end - begin);
  }
  return std::nullopt;
}

std::string PrecompiledCharsmap::normalize(std::string_view text) const {
  constexpr std::size_t kClusterLimit = 6;  // bytes
  if (units_.empty()) return std::string(text);
  std::string normalized;
  for_each_grapheme_cluster(text, [&](std::string_view cluster) {
    if (cluster.size() < kClusterLimit) {
      if (const auto found = replacement(cluster)) {
        normalized += *found;
        return;
      }
    }
    for (std::size_t i = 0; i < cluster.size();) {
      const auto character = cluster.substr(i, code_point_length(cluster, i));
      normalized += replacement(character).value_or(character);
      i += character.size();
    }
  });
  return normalized;
}

std::string identity_charsmap() {
  // The size of one block, the block, and the zero byte of an empty replacement. Its root has no child, because the
  // label of every unit is zero.
  std::string bytes(4 + 4 * kBlock + 1, '\0');
  bytes[1] = static_cast<char>(4 * kBlock >> 8);
  return bytes;
}

std::string decode_charsmap_base64(std::string_view text, const std::string& where) {
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  constexpr std::size_t kNotFound = std::string_view::npos;
  if (text.size() % 4 != 0) throw corrupt_data(concat(where, " has ", text.size(), " characters, expected base64"));
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3);
  std::uint32_t bits = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto value = i + padding >= text.size() ? 0 : kAlphabet.find(text[i]);
    if (value == kNotFound) throw corrupt_data(concat(where, ": character ", i + 1, " is not base64"));
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    if (i % 4 != 3) continue;
    for (unsigned shift = 24; shift > 0; shift -= 8) bytes += static_cast<char>(bits >> (shift - 8));
  }
  for (std::size_t i = 0; i < padding && !bytes.empty(); ++i) bytes.pop_back();
  return bytes;
}

}  // namespace easel
