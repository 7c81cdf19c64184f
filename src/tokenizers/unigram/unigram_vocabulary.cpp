#include "tokenizers/unigram/unigram_vocabulary.h"

#include <sentencepiece_processor.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_set>

#include "core/text.h"
#include "easel/error.h"
#include "tokenizers/corrupt_data.h"
#include "tokenizers/unicode_text.h"
#include "tokenizers/unigram/precompiled_charsmap.h"
#include "tokenizers/unigram/protobuf_reader.h"

namespace easel {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxPieces = std::size_t{1} << 20;
constexpr std::size_t kMaxPieceBytes = 4096;

// Field numbers of sentencepiece_model.proto.
constexpr std::uint64_t kPieces = 1;
constexpr std::uint64_t kTrainerSpec = 2;
constexpr std::uint64_t kNormalizerSpec = 3;
constexpr std::uint64_t kPieceType = 3;            // of a piece
constexpr std::uint64_t kModelType = 3;            // of the trainer spec
constexpr std::uint64_t kPrecompiledCharsmap = 2;  // of the normalizer spec

constexpr std::uint64_t kUnigram = 1;
constexpr std::uint64_t kUserDefined = 4;

/// The last value of a field, as protocol buffers read a field that is there more than once.
std::optional<ProtobufField> last_field(std::string_view message, std::uint64_t number, const std::string& where) {
  std::optional<ProtobufField> found;
  ProtobufReader reader(message, where);
  while (const auto field = reader.next()) {
    if (field->number == number) found = field;
  }
  return found;
}

/// Checks the structure of a model, and copies what is read from it: the pieces and the normalizer. The other fields
/// could make the library do work that is not needed, such as the self-test that a model may contain.
std::string select_fields(std::string_view bytes, const std::string& where) {
  std::string selected;
  std::size_t pieces = 0;
  bool has_charsmap = false;
  ProtobufReader reader(bytes, where);
  while (const auto field = reader.next()) {
    if (field->number > kNormalizerSpec) continue;
    if (!field->has_length)
      throw corrupt_data(concat(where, ": field ", field->number, " is a number, expected a message"));
    if (field->number == kTrainerSpec) {
      const auto type = last_field(field->bytes, kModelType, concat(where, ": trainer_spec"));
      if (type && type->value != kUnigram) {
        throw Error(ErrorCode::kUnsupported, concat(where, ": trainer_spec.model_type is ", type->value,
                                                    ", supported: ", kUnigram, " (unigram)"));
      }
      continue;
    }
    if (field->number == kPieces) {
      const auto name = concat(where, ": piece ", pieces++);
      const auto type = last_field(field->bytes, kPieceType, name);
      if (type && type->value == kUserDefined) {
        throw Error(ErrorCode::kUnsupported, concat(name, " is a user-defined symbol"));
      }
      if (pieces > kMaxPieces) throw corrupt_data(concat(where, " has more than ", kMaxPieces, " pieces"));
    } else {
      const auto charsmap = last_field(field->bytes, kPrecompiledCharsmap, concat(where, ": normalizer_spec"));
      has_charsmap = has_charsmap || (charsmap && !charsmap->bytes.empty());
    }
    selected += field->whole;
  }
  if (has_charsmap) return selected;
  // The library writes a line to standard error when a model has no charsmap.
  std::string normalizer;
  append_protobuf_bytes(normalizer, kPrecompiledCharsmap, identity_charsmap());
  append_protobuf_bytes(selected, kNormalizerSpec, normalizer);
  return selected;
}

void load(sentencepiece::SentencePieceProcessor& processor, const std::string& model, const std::string& where) {
  std::string message;
  try {
    const auto status = processor.LoadFromSerializedProto(model);
    if (status.ok()) return;
    message = status.ToString();
  } catch (const std::exception& error) {  // of the trie, for pieces that it cannot hold
    message = error.what();
  }
  throw corrupt_data(concat(where, " is not a sentencepiece model: ", message));
}

std::string charsmap_of(const sentencepiece::SentencePieceProcessor& processor, const std::string& where) {
  std::string charsmap;
  const std::string model = processor.serialized_model_proto();
  ProtobufReader reader(model, where);
  while (const auto field = reader.next()) {
    if (field->number != kNormalizerSpec) continue;
    if (const auto found = last_field(field->bytes, kPrecompiledCharsmap, where)) charsmap = found->bytes;
  }
  return charsmap;
}

void check_piece(const UnigramPiece& piece, std::size_t id, const std::string& where) {
  const auto& text = piece.text;
  const bool valid = !text.empty() && text.size() <= kMaxPieceBytes && text.find('\0') == std::string::npos &&
                     to_valid_utf8(text) == text;
  if (!valid) {
    throw corrupt_data(concat(where, ": the text of piece ", id, " is ", text.size(), " bytes, expected UTF-8 of 1 to ",
                              kMaxPieceBytes, " bytes without zeros"));
  }
  if (!std::isfinite(piece.score) || piece.score > 0) {
    throw corrupt_data(concat(where, ": the score of piece ", id, ", `", text, "`, is ", piece.score,
                              ", expected the logarithm of a probability"));
  }
}

/// The charsmap of a normalizer, or of the first one in a sequence that has one.
std::string charsmap_of(const json& normalizer, const std::string& where) {
  if (!normalizer.is_object()) return {};
  const json* list = &normalizer;
  if (normalizer.value("type", json()) == "Sequence") {
    if (!normalizer.contains("normalizers") || !normalizer["normalizers"].is_array()) {
      throw corrupt_data(concat(where, ": `normalizer.normalizers` is not a list"));
    }
    list = &normalizer["normalizers"];
  }
  const auto find = [&](const json& one) -> std::string {
    if (!one.is_object() || one.value("type", json()) != "Precompiled") return {};
    const json charsmap = one.value("precompiled_charsmap", json());
    if (charsmap.is_null()) return {};
    if (!charsmap.is_string()) {
      throw corrupt_data(concat(where, ": `precompiled_charsmap` is ", charsmap.type_name(), ", expected a string"));
    }
    return decode_charsmap_base64(charsmap.get_ref<const std::string&>(), concat(where, ": `precompiled_charsmap`"));
  };
  if (list->is_object()) return find(*list);
  for (const auto& one : *list) {
    if (auto charsmap = find(one); !charsmap.empty()) return charsmap;
  }
  return {};
}

}  // namespace

UnigramVocabulary parse_sentencepiece_model(std::string_view bytes, const std::string& where) {
  sentencepiece::SentencePieceProcessor processor;
  load(processor, select_fields(bytes, where), where);
  UnigramVocabulary vocabulary{.pieces = {}, .charsmap = charsmap_of(processor, where), .where = where};
  const int count = processor.GetPieceSize();
  for (int id = 0; id < count; ++id) {
    const auto& text = processor.IdToPiece(id);
    if (processor.IsByte(id)) {
      throw Error(ErrorCode::kUnsupported, concat(where, ": piece ", id, ", `", text, "`, stands for a byte"));
    }
    vocabulary.pieces.push_back({.text = text, .score = processor.GetScore(id), .added = processor.IsControl(id)});
    check_piece(vocabulary.pieces.back(), static_cast<std::size_t>(id), where);
  }
  return vocabulary;
}

UnigramVocabulary read_unigram_json(const json& file, const std::string& where) {
  const json model = file.value("model", json());
  if (!model.is_object()) throw corrupt_data(concat(where, ": `model` is missing"));
  const json type = model.value("type", json("Unigram"));
  if (type != "Unigram") {
    throw Error(ErrorCode::kUnsupported, concat(where, ": `model.type` is ", type.dump(), ", supported: \"Unigram\""));
  }
  const json vocab = model.value("vocab", json());
  if (!vocab.is_array())
    throw corrupt_data(concat(where, ": `model.vocab` is ", vocab.type_name(), ", expected a list"));
  if (vocab.size() > kMaxPieces)
    throw corrupt_data(concat(where, ": `model.vocab` has more than ", kMaxPieces, " pieces"));
  UnigramVocabulary vocabulary{
      .pieces = {}, .charsmap = charsmap_of(file.value("normalizer", json()), where), .where = where};
  std::unordered_set<std::string> texts;
  for (const auto& entry : vocab) {
    const auto id = vocabulary.pieces.size();
    if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() || !entry[1].is_number()) {
      throw corrupt_data(
          concat(where, ": piece ", id, " of `model.vocab` is ", shortened(entry.dump()), ", expected text and score"));
    }
    vocabulary.pieces.push_back({.text = entry[0].get<std::string>(), .score = entry[1].get<double>()});
    check_piece(vocabulary.pieces.back(), id, where);
    if (!texts.insert(vocabulary.pieces.back().text).second) {
      throw corrupt_data(concat(where, ": piece ", id, ", `", vocabulary.pieces.back().text, "`, is there twice"));
    }
  }
  return vocabulary;
}

}  // namespace easel
