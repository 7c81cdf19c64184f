// Small models of sentencepiece, built field by field, for tests and for the fuzz target.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tokenizers/unigram/protobuf_reader.h"

namespace easel::testing {

inline std::string little_endian(std::uint32_t value) {
  std::string bytes;
  for (unsigned shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(value >> shift);
  return bytes;
}

/// A charsmap of one block that replaces "A" by "a" and U+00B5 (C2 B5) by U+03BC, as units of a darts-clone array.
inline std::vector<std::uint32_t> charsmap_units() {
  constexpr std::uint32_t kLeaf = 1u << 31;
  constexpr auto node = [](std::uint32_t label, bool has_leaf, std::uint32_t offset) {
    return label | (has_leaf ? 1u << 8 : 0u) | offset << 10;
  };
  std::vector<std::uint32_t> units(256);
  units[0] = node(0, false, 1);                   // children of the root: 1 ^ label
  units[1 ^ 'A'] = node('A', true, 1 ^ 'A' ^ 2);  // its value: unit 2
  units[2] = kLeaf | 0;
  units[1 ^ 0xC2] = node(0xC2, false, 1 ^ 0xC2 ^ 3);  // its children: 3 ^ label
  units[3 ^ 0xB5] = node(0xB5, true, 3 ^ 0xB5 ^ 4);   // its value: unit 4
  units[4] = kLeaf | 2;
  return units;
}

inline std::string charsmap(const std::vector<std::uint32_t>& units,
                            std::string_view replacements = std::string_view("a\0\u03BC\0", 5)) {
  std::string bytes = little_endian(static_cast<std::uint32_t>(4 * units.size()));
  for (const auto unit : units) bytes += little_endian(unit);
  return bytes += replacements;
}

struct ModelPiece {
  std::string text;
  float score = 0;
  std::uint64_t type = 1;
};

/// T5's control pieces, and a few others.
inline std::vector<ModelPiece> model_pieces() {
  return {{"<pad>", 0, 3}, {"</s>", 0, 3},  {"<unk>", 0, 2},    {"\u2581", -2}, {"a", -3},  {"b", -3.5},
          {"ab", -4},      {"\u2581a", -4}, {"\u2581ab", -4.5}, {"-", -5},      {"--", -7}, {"\u03BC", -8}};
}

/// @param type      of the model: 1 is unigram
/// @param charsmap  left out if empty
inline std::string model(const std::vector<ModelPiece>& pieces, std::string_view charsmap, std::uint64_t type = 1) {
  std::string bytes;
  for (const auto& piece : pieces) {
    std::string message;
    append_protobuf_bytes(message, 1, piece.text);
    append_protobuf_float(message, 2, piece.score);
    append_protobuf_varint(message, 3, piece.type);
    append_protobuf_bytes(bytes, 1, message);
  }
  std::string trainer_spec;
  append_protobuf_varint(trainer_spec, 3, type);
  append_protobuf_bytes(bytes, 2, trainer_spec);
  if (!charsmap.empty()) {
    std::string normalizer_spec;
    append_protobuf_bytes(normalizer_spec, 1, "nmt_nfkc");
    append_protobuf_bytes(normalizer_spec, 2, charsmap);
    append_protobuf_bytes(bytes, 3, normalizer_spec);
  }
  return bytes;
}

}  // namespace easel::testing
