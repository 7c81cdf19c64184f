// Fuzzes the reader of spiece.model: protocol buffer, pieces, charsmap. A model that loads encodes a text.
#include <cstdlib>
#include <string_view>

#include "../tokenizers/sentencepiece_samples.h"
#include "easel/error.h"
#include "fuzz_target.h"
#include "tokenizers/unigram/precompiled_charsmap.h"
#include "tokenizers/unigram/unigram_encoder.h"
#include "tokenizers/unigram/unigram_vocabulary.h"

namespace {

constexpr std::string_view kText = "AB ab \u00B5m A\u0301 -- \u732B";

void check(const easel::Error& error) {
  if (error.code() != easel::ErrorCode::kCorruptData && error.code() != easel::ErrorCode::kUnsupported) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  try {
    easel::PrecompiledCharsmap(bytes, "input").normalize(kText);
  } catch (const easel::Error& error) {
    check(error);
  }
  try {
    const auto vocabulary = easel::parse_sentencepiece_model(bytes, "input");
    const auto text = easel::PrecompiledCharsmap(vocabulary.charsmap, "input").normalize(kText);
    const easel::UnigramEncoder encoder(vocabulary, /*unknown=*/0);
    std::vector<easel::TokenId> ids;
    encoder.encode(text, ids);
    for (const auto id : ids) {
      if (id < 0 || id >= static_cast<easel::TokenId>(vocabulary.pieces.size())) std::abort();
    }
  } catch (const easel::Error& error) {
    check(error);
  }
  return 0;
}

std::vector<std::string> easel::seed_corpus() {
  using namespace easel::testing;
  const auto table = charsmap(charsmap_units());
  return {model(model_pieces(), ""), model(model_pieces(), table), table};
}
