#include "tokenizers/unigram/unigram_encoder.h"

#include <sentencepiece_processor.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/text.h"
#include "easel/error.h"
#include "tokenizers/unigram/precompiled_charsmap.h"
#include "tokenizers/unigram/protobuf_reader.h"

namespace easel {
namespace {

// What both sentencepiece and the `tokenizers` library subtract from the lowest score for an unknown character.
constexpr double kUnknownPenalty = 10;

// Longer words are always segmented in double precision, which bounds the rounding errors of the library's sums.
constexpr std::size_t kMaxLibraryCharacters = 32;

std::size_t character_length(std::string_view text, std::size_t begin) {
  std::size_t end = begin + 1;
  while (end < text.size() && is_utf8_continuation(text[end])) ++end;
  return end - begin;
}

/// The bytes of a character as one number.
std::uint64_t character_key(std::string_view character) {
  std::uint64_t key = 0;
  for (const char byte : character) key = key << 8 | static_cast<unsigned char>(byte);
  return key;
}

std::uint64_t character_pair_key(std::string_view left, std::string_view right) {
  return character_key(left) << 32 | character_key(right);
}

/// Calls visit(left, right) for every two neighbouring characters.
template <class Visit>
void for_each_pair(std::string_view text, Visit visit) {
  std::string_view left;
  for (std::size_t i = 0; i < text.size();) {
    const auto right = text.substr(i, character_length(text, i));
    if (!left.empty()) visit(left, right);
    left = right;
    i += right.size();
  }
}

/// The pieces as a serialised ModelProto that takes a word as it is: without normalisation, with every piece but the
/// unknown one as an ordinary piece.
std::string library_model(const std::vector<UnigramPiece>& pieces, TokenId unknown) {
  constexpr std::uint64_t kNormalPiece = 1, kUnknownPiece = 2, kUnigramModel = 1;
  std::string model;
  for (std::size_t id = 0; id < pieces.size(); ++id) {
    std::string piece;
    append_protobuf_bytes(piece, 1, pieces[id].text);
    append_protobuf_float(piece, 2, static_cast<float>(pieces[id].score));
    append_protobuf_varint(piece, 3, static_cast<TokenId>(id) == unknown ? kUnknownPiece : kNormalPiece);
    append_protobuf_bytes(model, 1, piece);
  }
  std::string trainer_spec;
  append_protobuf_varint(trainer_spec, 3, kUnigramModel);
  append_protobuf_bytes(model, 2, trainer_spec);
  std::string normalizer_spec;
  append_protobuf_bytes(normalizer_spec, 2, identity_charsmap());
  for (const std::uint32_t field : {3, 4, 5}) {  // add_dummy_prefix, remove_extra_whitespaces, escape_whitespaces
    append_protobuf_varint(normalizer_spec, field, 0);
  }
  append_protobuf_bytes(model, 3, normalizer_spec);
  return model;
}

}  // namespace

UnigramEncoder::UnigramEncoder(const UnigramVocabulary& vocabulary, TokenId unknown)
    : pieces_(vocabulary.pieces), sorted_(pieces_.size()), unknown_(unknown) {
  if (unknown < 0 || unknown >= static_cast<TokenId>(pieces_.size())) {
    throw Error(ErrorCode::kCorruptData,
                concat(vocabulary.where, ": there is no piece ", unknown, " for unknown characters"));
  }
  std::iota(sorted_.begin(), sorted_.end(), 0u);
  std::sort(sorted_.begin(), sorted_.end(), [&](auto a, auto b) { return pieces_[a].text < pieces_[b].text; });
  double lowest = 0;
  for (const auto& piece : pieces_) lowest = std::min(lowest, piece.score);
  unknown_score_ = lowest - kUnknownPenalty;
  load_library(vocabulary.where);
  find_dominant_pieces();
}

UnigramEncoder::~UnigramEncoder() = default;

void UnigramEncoder::load_library(const std::string& where) {
  auto processor = std::make_unique<sentencepiece::SentencePieceProcessor>();
  std::string message;
  try {
    const auto status = processor->LoadFromSerializedProto(library_model(pieces_, unknown_));
    if (!status.ok()) message = status.ToString();
  } catch (const std::exception& error) {  // of the library's trie
    message = error.what();
  }
  if (!message.empty()) throw Error(ErrorCode::kCorruptData, concat(where, ": sentencepiece reports: ", message));
  library_ = std::move(processor);
}

void UnigramEncoder::find_dominant_pieces() {
  // A sum of n scores, none of them below `unknown_score_`, is off by at most n times the rounding error of the whole
  // sum. Both sums are, and the scores themselves are rounded, too.
  constexpr double kCount = kMaxLibraryCharacters;
  const double margin = 4 * kCount * kCount * -unknown_score_ * std::ldexp(1.0, -std::numeric_limits<float>::digits);
  dominant_.resize(pieces_.size());
  for (std::size_t id = 0; id < pieces_.size(); ++id) {
    const auto& [text, score, added] = pieces_[id];
    for_each_pair(text, [&](auto left, auto right) { neighbours_.insert(character_pair_key(left, right)); });
    if (count_code_points(text) > kMaxLibraryCharacters || static_cast<TokenId>(id) == unknown_) continue;
    const auto otherwise = best_paths(text, /*whole_piece_allowed=*/false).back();
    dominant_[id] = !otherwise.reached || score - otherwise.score > margin;
  }
}

std::optional<TokenId> UnigramEncoder::find(std::string_view piece) const {
  const auto found = std::lower_bound(sorted_.begin(), sorted_.end(), piece,
                                      [&](auto id, std::string_view text) { return pieces_[id].text < text; });
  if (found == sorted_.end() || pieces_[*found].text != piece) return std::nullopt;
  return static_cast<TokenId>(*found);
}

// Calls visit(length, id) for every piece that `text` begins with, the shortest first.
template <class Visit>
void UnigramEncoder::for_each_prefix(std::string_view text, Visit visit) const {
  auto first = sorted_.begin();
  auto last = sorted_.end();
  for (std::size_t i = 0; i < text.size() && first != last; ++i) {
    // All pieces from `first` to `last` begin with text[0, i) and are longer than that.
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto byte_of = [&](std::uint32_t id) { return static_cast<unsigned char>(pieces_[id].text[i]); };
    first = std::lower_bound(first, last, byte, [&](auto id, auto b) { return byte_of(id) < b; });
    last = std::upper_bound(first, last, byte, [&](auto b, auto id) { return b < byte_of(id); });
    if (first == last || pieces_[*first].text.size() != i + 1) continue;
    visit(i + 1, static_cast<TokenId>(*first));
    ++first;
  }
}

// As Unigram::encode_optimized does it: candidates for the same end come from left to right, and a later one has to be
// better than the one before it, not only equal.
std::vector<UnigramEncoder::Node> UnigramEncoder::best_paths(std::string_view text, bool whole_piece_allowed) const {
  std::vector<Node> nodes(text.size() + 1);
  nodes[0].reached = true;
  for (std::size_t begin = 0; begin < text.size();) {
    const double so_far = nodes[begin].score;
    const auto one_character = character_length(text, begin);
    const auto propose = [&](std::size_t length, TokenId id, double score) {
      auto& node = nodes[begin + length];
      const double candidate = score + so_far;
      if (!node.reached || candidate > node.score) node = {candidate, begin, id, true};
    };
    bool has_one_character = false;
    if (nodes[begin].reached) {
      for_each_prefix(text.substr(begin), [&](std::size_t length, TokenId id) {
        if (length == text.size() && !whole_piece_allowed) return;
        propose(length, id, score(id));
        has_one_character = has_one_character || length == one_character;
      });
      const bool is_whole = one_character == text.size();
      if (!has_one_character && (whole_piece_allowed || !is_whole)) propose(one_character, unknown_, unknown_score_);
    }
    begin += one_character;
  }
  return nodes;
}

void UnigramEncoder::encode_exactly(std::string_view word, std::vector<TokenId>& ids) const {
  const auto nodes = best_paths(word, /*whole_piece_allowed=*/true);
  const auto first = static_cast<std::ptrdiff_t>(ids.size());
  for (std::size_t end = word.size(); end > 0;) {
    std::size_t begin = nodes[end].begin;
    TokenId id = nodes[end].id;
    if (id == unknown_) {
      while (begin > 0 && nodes[begin].id == unknown_) begin = nodes[begin].begin;
      // The reference looks the joined characters up again.
      id = find(word.substr(begin, end - begin)).value_or(unknown_);
    }
    ids.push_back(id);
    end = begin;
  }
  std::reverse(ids.begin() + first, ids.end());
}

void UnigramEncoder::encode_with_library(std::string_view word, std::vector<TokenId>& ids) const {
  std::vector<int> found;
  const auto status = library_->Encode(word, &found);
  if (!status.ok()) {
    throw Error(ErrorCode::kInternal, concat("sentencepiece cannot encode ", quote(word), ": ", status.ToString()));
  }
  ids.insert(ids.end(), found.begin(), found.end());
}

bool UnigramEncoder::routes_agree(std::string_view word) const {
  const bool is_short = word.size() <= 4 * kMaxLibraryCharacters && count_code_points(word) <= kMaxLibraryCharacters;
  if (!is_short || word.find('\0') != std::string_view::npos) return false;
  const auto is_certain = [&](std::string_view part) {
    if (part.size() == character_length(part, 0)) return true;
    const auto id = find(part);
    return id && dominant_[static_cast<std::size_t>(*id)];
  };
  std::size_t begin = 0;
  bool certain = !word.empty();
  for_each_pair(word, [&](std::string_view left, std::string_view right) {
    if (!certain || neighbours_.contains(character_pair_key(left, right))) return;
    const auto end = static_cast<std::size_t>(right.data() - word.data());
    certain = is_certain(word.substr(begin, end - begin));
    begin = end;
  });
  return certain && is_certain(word.substr(begin));
}

UnigramEncoder::Route UnigramEncoder::encode(std::string_view word, std::vector<TokenId>& ids) const {
  if (routes_agree(word)) {
    encode_with_library(word, ids);
    return Route::kLibrary;
  }
  encode_exactly(word, ids);
  return Route::kExact;
}

}  // namespace easel
