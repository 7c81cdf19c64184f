// CLIP's tokenizer: runs the parts of this folder in the order of transformers 5.23.0.
#include <algorithm>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>

#include "core/text.h"
#include "easel/error.h"
#include "easel/tokenizer.h"
#include "tokenizers/added_tokens.h"
#include "tokenizers/byte_pair_encoder.h"
#include "tokenizers/clip_vocabulary.h"
#include "tokenizers/text_splitter.h"
#include "tokenizers/tokenizer_settings.h"
#include "tokenizers/unicode_text.h"
#include "tokenizers/vocabulary_files.h"

namespace easel {
namespace {

std::optional<TokenId> unknown_id(const TokenizerSettings& settings, const Vocabulary& vocabulary) {
  if (!settings.unk_token) return std::nullopt;
  const auto found = vocabulary.find(*settings.unk_token);
  return found == vocabulary.end() ? std::nullopt : std::optional(found->second);
}

std::int64_t highest_id(const Vocabulary& vocabulary) {
  std::int64_t highest = 0;
  for (const auto& [token, id] : vocabulary) highest = std::max(highest, id);
  return highest;
}

/// What was read from a folder. Tokenizers that differ only in their placeholder words share it.
struct ClipTokenizerData {
  ClipTokenizerData(const VocabularyFiles& files, const TokenizerSettings& read_settings, const std::string& where)
      : name(where),
        settings(read_settings),
        vocabulary(files.vocabulary),
        pairs(files.vocabulary, files.merges, unknown_id(settings, files.vocabulary), files.merges_where),
        // Added tokens that are not in the vocabulary may have ids above its highest.
        first_placeholder_id(highest_id(files.vocabulary) + static_cast<std::int64_t>(settings.added_tokens.size()) +
                             1) {}

  std::string name;
  TokenizerSettings settings;
  Vocabulary vocabulary;
  BytePairEncoder pairs;
  std::int64_t first_placeholder_id;
};

class ClipBpe : public Tokenizer {
 public:
  explicit ClipBpe(std::shared_ptr<const ClipTokenizerData> tokens, const std::vector<AddedToken>& word_tokens = {})
      : tokens_(std::move(tokens)),
        added_(with(word_tokens, tokens_->settings.added_tokens), tokens_->vocabulary,
               tokens_->settings.split_special_tokens, tokens_->name),
        bos_(*added_.token_to_id(tokens_->settings.bos_token)),
        eos_(*added_.token_to_id(tokens_->settings.eos_token)),
        pad_(*added_.token_to_id(tokens_->settings.pad_token)),
        length_(static_cast<std::size_t>(tokens_->settings.model_max_length)) {}

  std::vector<TokenId> token_ids(std::string_view text) const override;
  TokenizedText prepare_for_model(std::vector<TokenId> ids) const override;
  std::int64_t model_max_length() const override { return static_cast<std::int64_t>(length_); }
  std::optional<TokenId> token_to_id(const std::string& token) const override;
  std::unique_ptr<Tokenizer> with_placeholder_tokens(const std::vector<std::string>& words) const override;
  void check_ids(std::int64_t vocab_size) const override;
  TokenId first_placeholder_id() const override { return tokens_->first_placeholder_id; }

 private:
  static std::vector<AddedToken> with(const std::vector<AddedToken>& words, std::vector<AddedToken> added) {
    added.insert(added.end(), words.begin(), words.end());
    return added;
  }
  TokenId resolve_placeholder_id(TokenId added_id) const;
  bool is_token(const std::string& word, const std::string& normalized) const;

  std::shared_ptr<const ClipTokenizerData> tokens_;
  AddedTokens added_;
  TokenId bos_;
  TokenId eos_;
  TokenId pad_;
  std::size_t length_;
  std::unordered_map<TokenId, TokenId> placeholder_ids_;  // by the word's id in added_
};

TokenId ClipBpe::resolve_placeholder_id(TokenId added_id) const {
  const auto word = placeholder_ids_.find(added_id);
  return word == placeholder_ids_.end() ? added_id : word->second;
}

std::vector<TokenId> ClipBpe::token_ids(std::string_view text) const {
  std::vector<TokenId> ids;
  const std::string valid = to_valid_utf8(text);
  for (const auto& piece : added_.split_raw(valid)) {
    if (piece.id) {
      ids.push_back(*piece.id);
      continue;
    }
    const std::string normalized = normalize_prompt(piece.text);
    for (const auto& part : added_.split_normalized(normalized)) {
      if (part.id) {
        ids.push_back(resolve_placeholder_id(*part.id));
        continue;
      }
      for (const auto word : split_words(part.text)) tokens_->pairs.encode(word, ids);
    }
  }
  return ids;
}

TokenizedText ClipBpe::prepare_for_model(std::vector<TokenId> ids) const {
  const auto& settings = tokens_->settings;
  TokenizedText result;
  const std::size_t capacity = length_ - 2;  // without bos and eos
  if (ids.size() > capacity) {
    result.truncated = true;
    if (settings.truncates_left) {
      result.text_begin -= static_cast<std::int64_t>(ids.size() - capacity);
      ids.erase(ids.begin(), ids.end() - static_cast<std::ptrdiff_t>(capacity));
    }
    ids.resize(capacity);
  }
  auto& out = result.input_ids;
  out.reserve(length_);
  out.push_back(bos_);
  out.insert(out.end(), ids.begin(), ids.end());
  out.push_back(eos_);
  const std::size_t padding = length_ - out.size();
  out.insert(settings.pads_left ? out.begin() : out.end(), padding, pad_);
  if (settings.pads_left) result.text_begin += static_cast<std::int64_t>(padding);
  return result;
}

std::optional<TokenId> ClipBpe::token_to_id(const std::string& token) const {
  const auto known = tokens_->vocabulary.find(token);
  return known == tokens_->vocabulary.end() ? added_.token_to_id(token) : std::optional(known->second);
}

void ClipBpe::check_ids(std::int64_t vocab_size) const {
  for (const auto& [token, id] : tokens_->vocabulary) check_id(id, token, vocab_size, tokens_->name);
  for (const auto& token : tokens_->settings.added_tokens) {
    if (const auto id = added_.token_to_id(token.content)) check_id(*id, token.content, vocab_size, tokens_->name);
  }
}

bool ClipBpe::is_token(const std::string& word, const std::string& normalized) const {
  const auto is_one = [](const std::vector<AddedTokens::Piece>& pieces) {
    return pieces.size() == 1 && pieces[0].id.has_value();
  };
  return tokens_->vocabulary.contains(word) || is_one(added_.split_raw(word)) ||
         is_one(added_.split_normalized(normalized));
}

std::unique_ptr<Tokenizer> ClipBpe::with_placeholder_tokens(const std::vector<std::string>& words) const {
  std::vector<AddedToken> found;
  std::vector<std::size_t> indices;  // in `words`
  std::set<std::string> seen;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const auto normalized = normalize_prompt(words[i]);
    const bool is_blank = split_words(normalized).empty();
    if (is_blank || is_token(words[i], normalized) || !seen.insert(normalized).second) continue;
    found.push_back({.content = words[i], .normalized = true, .special = false});
    indices.push_back(i);
  }
  auto extended = std::make_unique<ClipBpe>(tokens_, found);
  for (std::size_t i = 0; i < found.size(); ++i) {
    extended->placeholder_ids_[*extended->added_.token_to_id(found[i].content)] =
        first_placeholder_id() + static_cast<TokenId>(indices[i]);
  }
  return extended;
}

}  // namespace

std::unique_ptr<Tokenizer> load_clip_tokenizer(const std::string& folder) {
  const std::filesystem::path path(folder);
  const auto name = (path.has_filename() ? path : path.parent_path()).filename().string();
  std::error_code ignored;
  if (!std::filesystem::is_directory(path, ignored))
    throw Error(ErrorCode::kNotFound, concat("the folder ", folder, " does not exist"));
  const auto files = read_vocabulary_files(folder, name);
  const auto settings = read_tokenizer_settings(folder, name, files);
  return std::make_unique<ClipBpe>(std::make_shared<const ClipTokenizerData>(files, settings, name));
}

std::unique_ptr<Tokenizer> make_clip_tokenizer(ClipPadding padding) {
  const auto files = clip_vocabulary();
  TokenizerSettings settings;
  settings.bos_token = "<|startoftext|>";
  settings.eos_token = "<|endoftext|>";
  settings.unk_token = settings.eos_token;
  settings.model_max_length = 77;
  if (padding == ClipPadding::kEndOfText) {
    settings.pad_token = settings.eos_token;
    settings.added_tokens = {{.content = settings.bos_token, .normalized = true}, {.content = settings.eos_token}};
  } else {
    settings.pad_token = "!";
    settings.added_tokens = {
        {.content = settings.bos_token}, {.content = settings.eos_token}, {.content = settings.pad_token}};
  }
  return std::make_unique<ClipBpe>(std::make_shared<const ClipTokenizerData>(files, settings, "CLIP's tokenizer"));
}

}  // namespace easel
