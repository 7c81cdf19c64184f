// CLIP's tokenizer: the parts of this folder, in the order in which transformers 5.23.0 runs them.
#include <filesystem>
#include <memory>
#include <string>

#include "core/text.h"
#include "easel/error.h"
#include "easel/tokenizer.h"
#include "tokenizers/added_tokens.h"
#include "tokenizers/byte_pairs.h"
#include "tokenizers/clip_vocabulary.h"
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

class ClipBpe : public Tokenizer {
 public:
  ClipBpe(const VocabularyFiles& files, const TokenizerSettings& settings, const std::string& name)
      : pairs_(files.vocabulary, files.merges, unknown_id(settings, files.vocabulary), files.merges_where),
        added_(settings.added_tokens, files.vocabulary, settings.split_special_tokens, name),
        bos_(*added_.id_of(settings.bos_token)),
        eos_(*added_.id_of(settings.eos_token)),
        pad_(*added_.id_of(settings.pad_token)),
        length_(static_cast<std::size_t>(settings.model_max_length)),
        pads_left_(settings.pads_left),
        truncates_left_(settings.truncates_left) {}

  TokenizedText encode(std::string_view text) const override;
  std::int64_t model_max_length() const override { return static_cast<std::int64_t>(length_); }

 private:
  std::vector<TokenId> ids_of(std::string_view text) const;

  BytePairs pairs_;
  AddedTokens added_;
  TokenId bos_;
  TokenId eos_;
  TokenId pad_;
  std::size_t length_;
  bool pads_left_;
  bool truncates_left_;
};

std::vector<TokenId> ClipBpe::ids_of(std::string_view text) const {
  std::vector<TokenId> ids;
  const std::string valid = to_valid_utf8(text);
  for (const auto& piece : added_.split_as_written(valid)) {
    if (piece.id) {
      ids.push_back(*piece.id);
      continue;
    }
    const std::string normalized = normalize_prompt(piece.text);
    for (const auto& part : added_.split_normalized(normalized)) {
      if (part.id) {
        ids.push_back(*part.id);
        continue;
      }
      for (const auto word : split_words(part.text)) pairs_.encode(word, ids);
    }
  }
  return ids;
}

TokenizedText ClipBpe::encode(std::string_view text) const {
  auto ids = ids_of(text);
  TokenizedText result;
  const std::size_t room = length_ - 2;  // beside bos and eos
  if (ids.size() > room) {
    result.truncated = true;
    if (truncates_left_) ids.erase(ids.begin(), ids.end() - static_cast<std::ptrdiff_t>(room));
    ids.resize(room);
  }
  auto& out = result.input_ids;
  out.reserve(length_);
  out.push_back(bos_);
  out.insert(out.end(), ids.begin(), ids.end());
  out.push_back(eos_);
  out.insert(pads_left_ ? out.begin() : out.end(), length_ - out.size(), pad_);
  return result;
}

}  // namespace

std::unique_ptr<Tokenizer> load_clip_tokenizer(const std::string& folder) {
  const std::filesystem::path path(folder);
  const auto name = (path.has_filename() ? path : path.parent_path()).filename().string();
  std::error_code ignored;
  if (!std::filesystem::is_directory(path, ignored)) throw Error(ErrorCode::kNotFound, concat("no folder ", folder));
  const auto files = read_vocabulary_files(folder, name);
  return std::make_unique<ClipBpe>(files, read_tokenizer_settings(folder, name, files), name);
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
  return std::make_unique<ClipBpe>(files, settings, "CLIP's tokenizer");
}

}  // namespace easel
