// Vocabularies of unigram language models: from sentencepiece's spiece.model, or from a tokenizer.json.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace easel {

struct UnigramPiece {
  std::string text;    ///< valid UTF-8, not empty; U+2581 stands for a space
  double score = 0;    ///< logarithm of its probability; control pieces have 0
  bool added = false;  ///< a control piece: found in a text before anything else looks at it

  bool operator==(const UnigramPiece&) const = default;
};

struct UnigramVocabulary {
  std::vector<UnigramPiece> pieces;  ///< by id; no two have the same text
  std::string charsmap;              ///< see precompiled_charsmap.h
  std::string where;                 ///< what error messages call the file
};

/// The serialised ModelProto of sentencepiece, read by libsentencepiece.
/// @param where  what error messages call the file
/// @throws Error(kCorruptData)  not such a model, or a damaged one; names the field or the piece
/// @throws Error(kUnsupported)  a model of another kind than unigram; pieces that stand for bytes, or that are
///                              user-defined
UnigramVocabulary parse_sentencepiece_model(std::string_view bytes, const std::string& where);

/// `model.vocab` of a tokenizer.json, and the precompiled charsmap that its normalizer has, if any. Its other settings
/// are not read, because transformers does not read them for T5.
/// @throws Error(kCorruptData, kUnsupported)  names the field
UnigramVocabulary read_unigram_json(const nlohmann::json& file, const std::string& where);

}  // namespace easel
