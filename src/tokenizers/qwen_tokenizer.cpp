// After Qwen2Tokenizer of transformers 5.23.0, models/qwen2/tokenization_qwen2.py.
#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "core/open_file.h"
#include "core/text.h"
#include "easel/error.h"
#include "easel/tokenizer.h"
#include "tokenizers/byte_pair_encoder.h"
#include "tokenizers/text_splitter.h"
#include "tokenizers/unicode_segments.h"
#include "tokenizers/unicode_text.h"
#include "tokenizers/vocabulary_files.h"

namespace easel {
namespace {

constexpr char kEndOfText[] = "<|endoftext|>";
constexpr char kTurnBegin[] = "<|im_start|>";
constexpr char kTurnEnd[] = "<|im_end|>";

class QwenTokenizer : public TextTokenizer {
 public:
  QwenTokenizer(const VocabularyFiles& files, const AddedTokensById& added, TokenId pad, const std::string& where)
      : pairs_(files.vocabulary, files.merges, std::nullopt, files.merges_where, /*word_suffix=*/""),
        splitter_(added, compose_nfc, where),
        pad_(pad) {}

  std::vector<TokenId> token_ids(std::string_view text) const override {
    std::vector<TokenId> ids;
    splitter_.split(
        text, [&](TokenId id) { ids.push_back(id); },
        [&](std::string_view normalized) {
          for (const auto word : split_qwen_words(normalized)) pairs_.encode(word, ids);
        });
    return ids;
  }

  EncodedText encode(std::string_view text, std::int64_t max_length) const override {
    auto ids = token_ids(text);
    const auto length = check_max_length(max_length);
    EncodedText encoded{.input_ids = {}, .token_count = std::min(ids.size(), length), .truncated = ids.size() > length};
    ids.resize(encoded.token_count);
    ids.resize(length, pad_);
    encoded.input_ids = std::move(ids);
    return encoded;
  }

 private:
  BytePairEncoder pairs_;
  TextSplitter splitter_;
  TokenId pad_;
};

/// The two prompts of apply_qwen_template are what Qwen3's template makes of one user message. Another model's template
/// would need another prompt.
void check_chat_template(const AddedTokenSources& sources) {
  constexpr std::size_t kMaxBytes = std::size_t{1} << 20;
  const auto path = concat(sources.folder, "/chat_template.jinja");
  const auto where = concat(sources.name, "/chat_template.jinja");
  std::string text;
  if (path_exists(path)) {
    text = read_file(path, where, kMaxBytes);
  } else {
    const auto value = sources.config.object().value("chat_template", nlohmann::json());
    if (!value.is_string()) return;
    text = value.get<std::string>();
  }
  for (const std::string_view token : {kTurnBegin, kTurnEnd}) {
    if (text.find(token) == std::string::npos) {
      throw Error(ErrorCode::kUnsupported,
                  concat(sources.name, ": the chat template is not Qwen's: it does not contain ", token));
    }
  }
}

/// The tokens that are special whether or not a file lists their ids.
std::vector<std::string> special_tokens(const AddedTokenSources& sources, const std::string& pad) {
  std::vector<std::string> special = {special_token(sources, "eos_token").value_or(kEndOfText), pad};
  special.push_back(special_token(sources, "unk_token").value_or(kEndOfText));
  for (const char* key : {"additional_special_tokens", "extra_special_tokens"}) {
    const auto list = sources.config.object().value(key, nlohmann::json());
    if (list.is_array()) {
      for (const auto& token : list) {
        if (token.is_string()) special.push_back(token.get<std::string>());
      }
    }
  }
  return special;
}

}  // namespace

std::unique_ptr<TextTokenizer> load_qwen_tokenizer(const std::string& folder, std::int64_t vocab_size) {
  auto sources = open_added_token_sources(folder);
  for (const char* key : {"add_prefix_space", "add_bos_token", "add_eos_token"}) sources.config.require(key, {false});
  check_chat_template(sources);
  const auto files = read_vocabulary_files(folder, sources.name);
  sources.from_tokenizer_json = files.added_tokens;
  const auto pad = special_token(sources, "pad_token").value_or(kEndOfText);
  const auto find = [&](const std::string& token) {
    const auto found = files.vocabulary.find(token);
    return found == files.vocabulary.end() ? std::nullopt : std::optional(found->second);
  };
  const auto added =
      read_added_tokens(sources, static_cast<TokenId>(files.vocabulary.size()), find, special_tokens(sources, pad));
  for (const auto& [token, id] : files.vocabulary) check_id(id, token, vocab_size, files.merges_where);
  std::map<std::string, TokenId> ids;
  for (const auto& [id, token] : added) {
    check_id(id, token.content, vocab_size, sources.name);
    ids.emplace(token.content, id);
  }
  for (const char* token : {kTurnBegin, kTurnEnd}) {
    if (!ids.contains(token)) {
      throw Error(ErrorCode::kUnsupported, concat(sources.name, ": the chat template's `", token, "` is not a token"));
    }
  }
  return std::make_unique<QwenTokenizer>(files, added, ids.at(pad), sources.name);
}

std::string apply_qwen_template(std::string_view prompt, QwenTemplate kind) {
  auto text = concat(kTurnBegin, "user\n", prompt, kTurnEnd, "\n", kTurnBegin, "assistant\n");
  if (kind == QwenTemplate::kWithoutThinking) text += "<think>\n\n</think>\n\n";
  return text;
}

}  // namespace easel
