// After T5Tokenizer of transformers 5.23.0, models/t5/tokenization_t5.py, and T5Converter, convert_slow_tokenizer.py.
#include "tokenizers/unigram/t5_tokenizer.h"

#include <algorithm>

#include "core/config.h"
#include "core/open_file.h"
#include "core/text.h"
#include "easel/error.h"
#include "tokenizers/unicode_segments.h"
#include "tokenizers/unigram/unigram_vocabulary.h"

namespace easel {
namespace {

constexpr std::string_view kSpace = "\u2581";
constexpr TokenId kPad = 0;
constexpr TokenId kEndOfTextId = 1;
constexpr TokenId kUnknown = 2;
constexpr std::int64_t kMaxSentinels = 1000;

std::string sentinel(std::int64_t i) {
  return concat("<extra_id_", i, ">");
}

/// The vocabulary with its sentinels, which spiece.model does not contain. When a folder has both files, they agree.
UnigramVocabulary read_pieces(AddedTokenSources& sources, std::int64_t sentinels) {
  constexpr std::size_t kMaxBytes = std::size_t{64} << 20;
  const auto model = concat(sources.folder, "/spiece.model");
  if (path_exists(model)) {
    const auto where = concat(sources.name, "/spiece.model");
    auto vocabulary = parse_sentencepiece_model(read_file(model, where, kMaxBytes), where);
    for (auto i = sentinels; i-- > 0;) vocabulary.pieces.push_back({.text = sentinel(i)});
    return vocabulary;
  }
  const auto file = concat(sources.folder, "/tokenizer.json");
  const auto where = concat(sources.name, "/tokenizer.json");
  if (!path_exists(file)) {
    throw Error(ErrorCode::kNotFound, concat(sources.name, " has neither spiece.model nor tokenizer.json"));
  }
  const auto tokenizer = Config::read_file(file, where);
  const auto added = tokenizer.object().value("added_tokens", nlohmann::json::array());
  if (!added.is_array()) throw Error(ErrorCode::kCorruptData, concat(where, ": `added_tokens` is not a list"));
  sources.from_tokenizer_json.assign(added.begin(), added.end());
  return read_unigram_json(tokenizer.object(), where);
}

void check_special_tokens(const AddedTokenSources& sources, const UnigramVocabulary& vocabulary) {
  const struct {
    const char* key;
    const char* text;
    TokenId id;
  } kExpected[] = {{"pad_token", "<pad>", kPad}, {"eos_token", "</s>", kEndOfTextId}, {"unk_token", "<unk>", kUnknown}};
  for (const auto& [key, text, id] : kExpected) {
    const auto found = special_token(sources, key).value_or(text);
    if (found != text) {
      throw Error(ErrorCode::kUnsupported,
                  concat(sources.name, ": `", key, "` is ", quote(found), ", supported: \"", text, "\""));
    }
    const auto index = static_cast<std::size_t>(id);
    if (vocabulary.pieces.size() <= index || vocabulary.pieces[index].text != text) {
      throw Error(ErrorCode::kUnsupported, concat(vocabulary.where, ": piece ", id, " is not `", text, "`"));
    }
  }
}

/// Calls visit(word) for the words of a normalised text: with U+2581 in front, and cut before every further one.
template <class Visit>
void for_each_word(std::string_view normalized, Visit visit) {
  for (const auto stretch : split_at_white_space(normalized)) {
    std::string word(stretch.starts_with(kSpace) ? "" : kSpace);
    word += stretch;
    for (std::size_t begin = 0; begin < word.size();) {
      const auto end = std::min(word.find(kSpace, begin + kSpace.size()), word.size());
      visit(std::string_view(word).substr(begin, end - begin));
      begin = end;
    }
  }
}

}  // namespace

T5Tokenizer::T5Tokenizer(const std::string& folder, std::int64_t vocab_size) {
  auto sources = open_added_token_sources(folder);
  const auto sentinels = sources.config.get<std::int64_t>("extra_ids", 100);
  if (sentinels < 0 || sentinels > kMaxSentinels) {
    throw Error(ErrorCode::kUnsupported,
                concat(sources.config.where(), ": `extra_ids` is ", sentinels, ", expected 0 to ", kMaxSentinels));
  }
  const auto vocabulary = read_pieces(sources, sentinels);
  check_special_tokens(sources, vocabulary);
  encoder_ = std::make_unique<UnigramEncoder>(vocabulary, kUnknown);

  std::vector<std::string> special = {"<pad>", "</s>", "<unk>"};
  for (std::int64_t i = 0; i < sentinels; ++i) special.push_back(sentinel(i));
  for (const auto& piece : vocabulary.pieces) {
    if (piece.added) special.push_back(piece.text);
  }
  const auto added = read_added_tokens(
      sources, static_cast<TokenId>(vocabulary.pieces.size()),
      [&](const std::string& text) { return encoder_->find(text); }, special);
  for (std::size_t id = 0; id < vocabulary.pieces.size(); ++id) {
    check_id(static_cast<TokenId>(id), vocabulary.pieces[id].text, vocab_size, vocabulary.where);
  }
  for (const auto& [id, token] : added) check_id(id, token.content, vocab_size, sources.name);

  const auto charsmap = std::make_shared<const PrecompiledCharsmap>(vocabulary.charsmap,
                                                                    concat(vocabulary.where, ": precompiled_charsmap"));
  splitter_ = std::make_unique<TextSplitter>(
      added, [charsmap](std::string_view text) { return charsmap->normalize(text); }, sources.name);
}

std::vector<TokenId> T5Tokenizer::token_ids(std::string_view text) const {
  RouteCounts ignored;
  return token_ids(text, ignored);
}

std::vector<TokenId> T5Tokenizer::token_ids(std::string_view text, RouteCounts& counts) const {
  std::vector<TokenId> ids;
  const auto encode_word = [&](std::string_view word) {
    const auto route = encoder_->encode(word, ids);
    ++(route == UnigramEncoder::Route::kLibrary ? counts.library : counts.exact);
  };
  splitter_->split(
      text, [&](TokenId id) { ids.push_back(id); },
      [&](std::string_view normalized) { for_each_word(normalized, encode_word); });
  return ids;
}

std::vector<std::string> T5Tokenizer::words(std::string_view text) const {
  std::vector<std::string> words;
  splitter_->split(
      text, [](TokenId) {},
      [&](std::string_view normalized) {
        for_each_word(normalized, [&](std::string_view word) { words.emplace_back(word); });
      });
  return words;
}

EncodedText T5Tokenizer::encode(std::string_view text, std::int64_t max_length) const {
  auto ids = token_ids(text);
  const auto capacity = check_max_length(max_length) - 1;  // without the end of the text
  EncodedText encoded{.input_ids = {}, .token_count = 0, .truncated = ids.size() > capacity};
  if (encoded.truncated) ids.resize(capacity);
  ids.push_back(kEndOfTextId);
  encoded.token_count = ids.size();
  ids.resize(capacity + 1, kPad);
  encoded.input_ids = std::move(ids);
  return encoded;
}

std::unique_ptr<TextTokenizer> load_t5_tokenizer(const std::string& folder, std::int64_t vocab_size) {
  return std::make_unique<T5Tokenizer>(folder, vocab_size);
}

}  // namespace easel
