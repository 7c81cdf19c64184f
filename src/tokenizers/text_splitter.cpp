// After TokenizersBackend of transformers 5.23.0, tokenization_utils_tokenizers.py.
#include "tokenizers/text_splitter.h"

#include <charconv>
#include <filesystem>
#include <set>

#include "core/open_file.h"
#include "core/text.h"
#include "easel/error.h"
#include "tokenizers/corrupt_data.h"
#include "tokenizers/unicode_text.h"

namespace easel {
namespace {

using nlohmann::json;

AddedToken parse_token(const json& object, const std::string& where) {
  Config fields(object, where);
  AddedToken token{.content = fields.get<std::string>("content")};
  token.single_word = fields.get<bool>("single_word", false);
  token.lstrip = fields.get<bool>("lstrip", false);
  token.rstrip = fields.get<bool>("rstrip", false);
  token.special = fields.get<bool>("special", false);
  token.normalized = fields.get<bool>("normalized", !token.special);
  fields.ignore({"id", "__type"});
  fields.finish();
  return token;
}

void insert(AddedTokensById& tokens, TokenId id, AddedToken token, const std::string& where) {
  if (token.content.empty()) throw corrupt_data(concat(where, ": the added token ", id, " is empty"));
  const auto [there, inserted] = tokens.emplace(id, token);
  if (!inserted && there->second.content != token.content) {
    throw corrupt_data(concat(where, ": `", there->second.content, "` and `", token.content, "` both have id ", id));
  }
  there->second = std::move(token);
}

AddedTokensById tokens_of_config(const json& decoder, const std::string& where) {
  AddedTokensById tokens;
  if (!decoder.is_object()) throw corrupt_data(concat(where, " is ", decoder.type_name(), ", expected an object"));
  for (const auto& [key, token] : decoder.items()) {
    TokenId id = 0;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size()) {
      throw corrupt_data(concat(where, " has `", key, "`, expected an id"));
    }
    insert(tokens, id, parse_token(token, concat(where, ".", key)), where);
  }
  return tokens;
}

AddedTokensById tokens_of_older_files(const AddedTokenSources& sources, const std::set<std::string>& special) {
  AddedTokensById tokens;
  const auto path = concat(sources.folder, "/added_tokens.json");
  if (path_exists(path)) {
    const auto file = Config::read_file(path, concat(sources.name, "/added_tokens.json"));
    for (const auto& [content, id] : file.object().items()) {
      if (!id.is_number_integer()) {
        throw corrupt_data(
            concat(file.where(), ": the id of `", content, "` is ", shortened(id.dump()), ", expected an integer"));
      }
      const bool is_special = special.contains(content);
      insert(tokens, id.get<TokenId>(), {.content = content, .normalized = !is_special, .special = is_special},
             file.where());
    }
  }
  const auto where = concat(sources.name, "/tokenizer.json: added_tokens");
  for (const auto& token : sources.from_tokenizer_json) {
    insert(tokens, Config(token, where).get<TokenId>("id"), parse_token(token, where), where);
  }
  return tokens;
}

/// The text of a token that a file has as a string or as an object.
std::optional<std::string> token_text(const json& file, const std::string& key, const std::string& where) {
  const json value = file.value(key, json());
  if (value.is_null()) return std::nullopt;
  if (value.is_string()) return value.get<std::string>();
  if (value.is_object() && value.contains("content") && value["content"].is_string()) {
    return value["content"].get<std::string>();
  }
  throw corrupt_data(concat(where, ": `", key, "` is ", shortened(value.dump()), ", expected a string or an object"));
}

/// The tokens for which the flag `normalized` is `wanted`, with the flag removed and their content as it is looked for.
std::vector<AddedToken> select(const AddedTokensById& tokens, bool wanted, const TextSplitter::Normalize& normalize) {
  std::vector<AddedToken> selected;
  for (auto [id, token] : tokens) {
    if (token.normalized != wanted) continue;
    if (wanted) token.content = normalize(token.content);
    token.normalized = false;
    selected.push_back(token);
  }
  return selected;
}

Vocabulary ids_by_content(const AddedTokensById& tokens, bool wanted, const TextSplitter::Normalize& normalize) {
  Vocabulary ids;
  for (const auto& [id, token] : tokens) {
    if (token.normalized == wanted) ids.emplace(wanted ? normalize(token.content) : token.content, id);
  }
  return ids;
}

}  // namespace

AddedTokenSources open_added_token_sources(const std::string& folder) {
  const std::filesystem::path path(folder);
  const auto name = (path.has_filename() ? path : path.parent_path()).filename().string();
  std::error_code ignored;
  if (!std::filesystem::is_directory(path, ignored)) throw Error(ErrorCode::kNotFound, concat("no folder ", folder));
  const auto file = concat(folder, "/tokenizer_config.json");
  const auto where = concat(name, "/tokenizer_config.json");
  Config config = path_exists(file) ? Config::read_file(file, where) : Config(json::object(), where);
  config.require("padding_side", {"right"});
  config.require("truncation_side", {"right"});
  config.require("split_special_tokens", {false});
  for (const char* key : {"fast_tokenizer_files", "init_inputs", "vocab", "merges", "gguf_file"}) {
    config.require(key, {json::array(), json::object()});
  }
  return {.folder = folder, .name = name, .config = std::move(config), .from_tokenizer_json = {}};
}

std::optional<std::string> special_token(const AddedTokenSources& sources, const std::string& key) {
  if (auto text = token_text(sources.config.object(), key, sources.config.where())) return text;
  const auto path = concat(sources.folder, "/special_tokens_map.json");
  if (sources.config.has("added_tokens_decoder") || !path_exists(path)) return std::nullopt;
  const auto map = Config::read_file(path, concat(sources.name, "/special_tokens_map.json"));
  return token_text(map.object(), key, map.where());
}

AddedTokensById read_added_tokens(const AddedTokenSources& sources, TokenId vocabulary_size,
                                  const std::function<std::optional<TokenId>(const std::string&)>& find,
                                  const std::vector<std::string>& special) {
  const auto& config = sources.config;
  const std::set<std::string> special_texts(special.begin(), special.end());
  const auto listed =
      config.has("added_tokens_decoder")
          ? tokens_of_config(config.object()["added_tokens_decoder"], concat(config.where(), ": added_tokens_decoder"))
          : tokens_of_older_files(sources, special_texts);
  AddedTokensById tokens;
  std::map<std::string, TokenId> ids;
  TokenId next_id = vocabulary_size;
  const auto add = [&](AddedToken token) {
    const auto known = find(token.content);
    const TokenId id = known ? *known : next_id++;
    ids.emplace(token.content, id);
    insert(tokens, id, std::move(token), sources.name);
    return id;
  };
  for (auto [listed_id, token] : listed) {
    if (ids.contains(token.content)) throw corrupt_data(concat(sources.name, ": `", token.content, "` is added twice"));
    token.special = token.special || special_texts.contains(token.content);
    const auto content = token.content;
    const auto id = add(std::move(token));
    if (id != listed_id) {
      throw Error(ErrorCode::kUnsupported, concat(sources.name, ": the id of the added token `", content, "` is ",
                                                  listed_id, ", expected ", id));
    }
  }
  for (const auto& content : special) {
    if (!ids.contains(content)) add({.content = content});
  }
  return tokens;
}

TextSplitter::TextSplitter(const AddedTokensById& tokens, Normalize normalize, const std::string& where)
    : normalize_(std::move(normalize)),
      raw_(select(tokens, false, normalize_), ids_by_content(tokens, false, normalize_), false, where),
      normalized_(select(tokens, true, normalize_), ids_by_content(tokens, true, normalize_), false, where) {}

void TextSplitter::split(std::string_view text, const std::function<void(TokenId)>& on_token,
                         const std::function<void(std::string_view)>& on_text) const {
  const std::string valid = to_valid_utf8(text);
  for (const auto& piece : raw_.split_raw(valid)) {
    if (piece.id) {
      on_token(*piece.id);
      continue;
    }
    const std::string normalized = normalize_(piece.text);
    for (const auto& part : normalized_.split_raw(normalized)) {
      if (part.id) {
        on_token(*part.id);
      } else {
        on_text(part.text);
      }
    }
  }
}

std::size_t check_max_length(std::int64_t max_length) {
  constexpr std::int64_t kLimit = 1 << 16;
  if (max_length < 1 || max_length > kLimit) {
    throw Error(ErrorCode::kInvalidArgument, concat("a text of ", max_length, " tokens, expected 1 to ", kLimit));
  }
  return static_cast<std::size_t>(max_length);
}

void check_id(TokenId id, const std::string& token, std::int64_t vocab_size, const std::string& where) {
  if (id < vocab_size) return;
  throw Error(ErrorCode::kCorruptData, concat(where, ": the id of ", quote(token), " is ", id,
                                              ", but the text encoder has embeddings for ", vocab_size, " ids only"));
}

}  // namespace easel
