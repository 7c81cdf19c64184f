// Segmentation of one word by a unigram language model.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "tokenizers/byte_pair_encoder.h"
#include "tokenizers/unigram/unigram_vocabulary.h"

namespace sentencepiece {
class SentencePieceProcessor;
}

namespace easel {

/// Kudo 2018 (arXiv:1804.10959), section 3.2: of all ways to write a word as pieces, the most probable one.
///
/// The reference is models/unigram of the `tokenizers` library (0.23), which sums scores in double precision.
/// libsentencepiece sums them in single precision, so it may decide otherwise between ways whose scores are equal or
/// nearly so. It encodes the words for which rounding cannot change the result:
///
///   - The word is cut between every two neighbouring characters that no piece contains next to each other. Each part
///   is
///     then segmented independently of the others.
///   - Each part is either one character, for which there is only one way, or a piece whose score is greater than the
///   sum
///     of any other way to write it, by more than the rounding errors of both sums.
///
/// All other words are segmented here, in double precision.
///
/// Immutable, so safe to share between threads.
class UnigramEncoder {
 public:
  enum class Route { kLibrary, kExact };

  /// @param vocabulary  not empty
  /// @param unknown     id of the piece for characters that the vocabulary lacks
  /// @throws Error(kCorruptData)  `unknown` is not an id of the vocabulary; libsentencepiece cannot use the pieces
  UnigramEncoder(const UnigramVocabulary& vocabulary, TokenId unknown);
  ~UnigramEncoder();
  UnigramEncoder(const UnigramEncoder&) = delete;
  UnigramEncoder& operator=(const UnigramEncoder&) = delete;

  /// Appends the word's ids. Neighbouring unknown characters share one id. Takes O(n) for n bytes, with pieces of
  /// limited length.
  /// @param word  valid UTF-8, normalised, with U+2581 for a space
  /// @return      what segmented the word
  Route encode(std::string_view word, std::vector<TokenId>& ids) const;

  /// The two routes, for any word. @throws Error(kInternal)  the library fails
  void encode_exactly(std::string_view word, std::vector<TokenId>& ids) const;
  void encode_with_library(std::string_view word, std::vector<TokenId>& ids) const;

  /// Whether both routes give the same ids, by the rule above. False for some words for which they do.
  bool routes_agree(std::string_view word) const;

  std::optional<TokenId> find(std::string_view piece) const;
  double score(TokenId id) const { return pieces_[static_cast<std::size_t>(id)].score; }

 private:
  /// The best way to write a text up to some byte: its score, and its last piece.
  struct Node {
    double score = 0;
    std::size_t begin = 0;
    TokenId id = 0;
    bool reached = false;
  };

  template <class Visit>
  void for_each_prefix(std::string_view text, Visit visit) const;
  std::vector<Node> best_paths(std::string_view text, bool whole_piece_allowed) const;
  void load_library(const std::string& where);
  void find_dominant_pieces();

  std::vector<UnigramPiece> pieces_;
  std::vector<std::uint32_t> sorted_;  // ids in the order of their text
  TokenId unknown_;
  double unknown_score_;
  std::unique_ptr<const sentencepiece::SentencePieceProcessor> library_;
  std::unordered_set<std::uint64_t> neighbours_;  // two characters that are next to each other in a piece
  std::vector<bool> dominant_;                    // by id: better than every other way to write its text
};

}  // namespace easel
