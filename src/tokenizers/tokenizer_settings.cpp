// Follows PreTrainedTokenizerBase._from_pretrained and TokenizersBackend.__init__ of transformers 5.23.0. The order
// matters: of two entries for one token, the flags of the later one hold.
#include "tokenizers/tokenizer_settings.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <set>

#include "core/config.h"
#include "core/open_file.h"
#include "core/text.h"
#include "easel/error.h"
#include "tokenizers/corrupt_data.h"

namespace easel {
namespace {

using nlohmann::json;

// Prompts are padded to model_max_length; text encoders have 77 positions. 1e30 stands for "no limit".
constexpr std::int64_t kMaxLength = 1 << 16;
constexpr std::int64_t kMinLength = 2;  // bos and eos

// In the order in which they are added.
constexpr std::array<const char*, 7> kNamedTokens = {"bos_token", "eos_token", "unk_token", "sep_token",
                                                     "pad_token", "cls_token", "mask_token"};

Error unsupported(const std::string& message) {
  return Error(ErrorCode::kUnsupported, message);
}

/// A token as read from a file.
struct ParsedToken {
  AddedToken token;                 // a plain string is a special token that is not normalised
  bool is_plain_string = true;      // as opposed to an object
  bool normalized_given = false;    // otherwise `normalized` follows from `special`
  bool promotes_to_special = true;  // an entry in added_tokens.json with the same text is special

  static ParsedToken from_string(const std::string& name) { return {.token = {.content = name}}; }

  bool operator==(const ParsedToken& other) const {
    return is_plain_string == other.is_plain_string && token == other.token;
  }
  void make_special() {
    token.special = true;
    if (!normalized_given) token.normalized = false;
  }
};

ParsedToken parse_token_object(const json& object, const std::string& where) {
  Config fields(object, where);
  ParsedToken entry{.token = {.content = fields.get<std::string>("content")}, .is_plain_string = false};
  entry.token.single_word = fields.get<bool>("single_word", false);
  entry.token.lstrip = fields.get<bool>("lstrip", false);
  entry.token.rstrip = fields.get<bool>("rstrip", false);
  entry.token.special = fields.get<bool>("special", false);
  entry.normalized_given = fields.has("normalized");
  entry.token.normalized = fields.get<bool>("normalized", !entry.token.special);
  fields.ignore({"id"});
  fields.finish();
  return entry;
}

std::vector<ParsedToken> read_list(const Config& config, const char* key) {
  const auto& list = config.object().at(key);
  const auto where = concat(config.where(), ": ", key);
  if (list.is_object())
    throw unsupported(concat(where, " is an object, which names tokens that CLIP does not have; supported: a list"));
  if (!list.is_array()) throw corrupt_data(concat(where, " is ", list.type_name(), ", expected a list"));
  std::vector<ParsedToken> entries;
  for (const auto& item : list) {
    entries.push_back(item.is_string() ? ParsedToken::from_string(item.get<std::string>())
                                       : parse_token_object(item, where));
  }
  return entries;
}

/// Collects the tokens of all files and orders them.
class TokenTable {
 public:
  TokenTable(const std::string& folder, const std::string& name) : folder_(folder), name_(name) {}

  void read_config(Config& config);
  void read_special_tokens_map();
  void read_added_tokens_file();
  void read_tokenizer_json(const VocabularyFiles& vocabulary);

  /// The named token, by default CLIP's own; none where a file sets it to null.
  std::optional<ParsedToken> named(const std::string& key) const;
  std::vector<AddedToken> ordered_tokens() const;

 private:
  std::optional<Config> open(const char* file) const;
  void read_named(const Config& config);
  void add_by_index(std::int64_t index, const ParsedToken& entry, const std::string& where);
  std::set<std::string> promoted_special_tokens() const;

  std::string folder_;
  std::string name_;
  std::map<std::string, std::optional<ParsedToken>> named_;  // none: null in a file
  std::optional<std::vector<ParsedToken>> extra_;            // none: the field is in no file
  std::map<std::int64_t, ParsedToken> by_index_;             // only the order of the keys matters, not the ids
};

std::optional<Config> TokenTable::open(const char* file) const {
  const auto path = concat(folder_, "/", file);
  if (!path_exists(path)) return std::nullopt;
  return Config::read_file(path, concat(name_, "/", file));
}

void TokenTable::read_named(const Config& config) {
  for (const auto& [key, value] : config.object().items()) {
    if (!key.ends_with("_token") || key.starts_with('_') || value.is_boolean()) continue;
    const bool known = std::find(kNamedTokens.begin(), kNamedTokens.end(), key) != kNamedTokens.end();
    if (!known && (value.is_string() || value.is_object())) {
      throw unsupported(concat(config.where(), ": special token `", key, "` is not one of CLIP's"));
    }
    if (!known) continue;
    auto& entry = named_[key];
    const auto where = concat(config.where(), ": ", key);
    if (value.is_null()) {
      entry.reset();
    } else if (value.is_string()) {
      entry = ParsedToken::from_string(value.get<std::string>());
    } else if (value.is_object()) {
      entry = parse_token_object(value, where);
    } else {
      throw corrupt_data(concat(where, " is ", value.dump(), ", expected a string or an object"));
    }
  }
}

void TokenTable::read_config(Config& config) {
  read_named(config);
  const bool has_extra = config.has("extra_special_tokens") && !config.object()["extra_special_tokens"].empty();
  if (!has_extra && config.has("additional_special_tokens")) {  // its name before transformers 5
    extra_ = read_list(config, "additional_special_tokens");
  } else if (config.has("extra_special_tokens")) {
    extra_ = read_list(config, "extra_special_tokens");
  }
  // When the reference compares the names, tokens given as objects have not been created and so have no name yet.
  for (auto& [key, entry] : named_) {
    if (entry) entry->promotes_to_special = entry->is_plain_string;
  }
  if (extra_) {
    for (auto& entry : *extra_) entry.promotes_to_special = entry.is_plain_string;
  }
  if (!config.has("added_tokens_decoder")) return;
  const auto where = concat(config.where(), ": added_tokens_decoder");
  const Config decoder(config.raw("added_tokens_decoder"), where);
  for (const auto& [key, token] : decoder.object().items()) {
    std::int64_t index = 0;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), index);
    if (error != std::errc() || end != key.data() + key.size()) {
      throw corrupt_data(concat(where, " has `", key, "`, expected an id"));
    }
    add_by_index(index, parse_token_object(token, concat(where, ".", key)), where);
  }
}

void TokenTable::read_special_tokens_map() {
  auto map = open("special_tokens_map.json");
  if (!map) return;
  std::map<std::string, std::optional<ParsedToken>> from_config;
  from_config.swap(named_);
  read_named(*map);
  for (auto& [key, entry] : named_) {
    if (entry && !entry->is_plain_string) entry->make_special();
  }
  named_.merge(from_config);
  map->ignore({kNamedTokens.begin(), kNamedTokens.end()});
  if (map->has("extra_special_tokens")) {
    auto merged = extra_.value_or(std::vector<ParsedToken>());
    for (auto& entry : read_list(*map, "extra_special_tokens")) {
      if (!entry.is_plain_string) entry.make_special();
      if (std::find(merged.begin(), merged.end(), entry) == merged.end()) merged.push_back(entry);
    }
    extra_ = merged;
  } else if (map->has("additional_special_tokens") && !extra_) {
    extra_ = read_list(*map, "additional_special_tokens");
    for (auto& entry : *extra_) entry.promotes_to_special = false;  // the reference reads only the new name
  }
  map->ignore({"extra_special_tokens", "additional_special_tokens"});
  map->finish();
}

std::set<std::string> TokenTable::promoted_special_tokens() const {
  std::set<std::string> contents;
  for (const auto& [key, entry] : named_) {
    if (entry && entry->promotes_to_special) contents.insert(entry->token.content);
  }
  for (const auto& entry : extra_.value_or(std::vector<ParsedToken>())) {
    if (entry.promotes_to_special) contents.insert(entry.token.content);
  }
  return contents;
}

void TokenTable::read_added_tokens_file() {
  const auto file = open("added_tokens.json");
  if (!file) return;
  const auto special = promoted_special_tokens();
  for (const auto& [content, index] : file->object().items()) {
    if (!index.is_number_integer()) {
      throw corrupt_data(
          concat(file->where(), ": the id of `", content, "` is ", index.dump(), ", expected an integer"));
    }
    auto entry = ParsedToken::from_string(content);
    entry.is_plain_string = false;
    entry.normalized_given = true;
    entry.token.special = special.contains(content);
    entry.token.normalized = !entry.token.special;
    add_by_index(index.get<std::int64_t>(), entry, file->where());
  }
}

void TokenTable::read_tokenizer_json(const VocabularyFiles& vocabulary) {
  for (const auto& token : vocabulary.added_tokens) {
    const auto where = concat(vocabulary.merges_where, ": added_tokens");
    add_by_index(Config(token, where).get<std::int64_t>("id"), parse_token_object(token, where), where);
  }
}

void TokenTable::add_by_index(std::int64_t index, const ParsedToken& entry, const std::string& where) {
  const auto [there, inserted] = by_index_.try_emplace(index, entry);
  if (!inserted && there->second.token.content != entry.token.content) {
    throw corrupt_data(
        concat(where, ": `", there->second.token.content, "` and `", entry.token.content, "` both have id ", index));
  }
  there->second = entry;
}

std::optional<ParsedToken> TokenTable::named(const std::string& key) const {
  const auto found = named_.find(key);
  if (found == named_.end()) {
    if (key == "bos_token") return ParsedToken::from_string("<|startoftext|>");
    if (key == "eos_token" || key == "unk_token" || key == "pad_token")
      return ParsedToken::from_string("<|endoftext|>");
    return std::nullopt;
  }
  return found->second;
}

std::vector<AddedToken> TokenTable::ordered_tokens() const {
  std::vector<ParsedToken> entries;
  std::set<std::string> indexed;
  std::set<std::string> names;
  for (const auto& [index, entry] : by_index_) {
    entries.push_back(entry);
    indexed.insert(entry.token.content);
  }
  const auto add = [&](const ParsedToken& entry) {
    const bool there = std::find(entries.begin(), entries.end(), entry) != entries.end();
    if (!there && !indexed.contains(entry.token.content)) entries.push_back(entry);
  };
  for (const auto* key : kNamedTokens) {
    if (const auto entry = named(key)) {
      add(*entry);
      names.insert(entry->token.content);
    }
  }
  for (const auto& entry : extra_.value_or(std::vector<ParsedToken>())) add(entry);

  std::vector<AddedToken> tokens;
  for (auto& entry : entries) {
    if (names.contains(entry.token.content)) entry.make_special();
    tokens.push_back(entry.token);
  }
  return tokens;
}

std::string required_token(const TokenTable& table, const char* key, const std::string& name) {
  const auto entry = table.named(key);
  if (!entry || entry->token.content.empty()) throw corrupt_data(concat(name, ": `", key, "` is null or empty"));
  return entry->token.content;
}

std::int64_t read_length(Config& config) {
  const auto* key = config.object().contains("model_max_length") ? "model_max_length" : "max_len";
  const json& value = config.raw(key);
  const auto range = concat("expected ", kMinLength, " to ", kMaxLength);
  if (value.is_null()) {
    throw unsupported(concat(config.where(), ": `model_max_length` is missing; prompts are padded to it, ", range));
  }
  if (!value.is_number())
    throw corrupt_data(concat(config.where(), ": `", key, "` is ", value.dump(), ", expected an integer"));
  // 1e30, which stands for "no limit", does not fit into 64 bits.
  const double length = value.get<double>();
  if (!(length >= kMinLength && length <= kMaxLength)) {
    throw unsupported(concat(config.where(), ": `", key, "` is ", value.dump(), "; prompts are padded to it, ", range));
  }
  return config.get<std::int64_t>(key);
}

bool is_left(Config& config, const char* key, const std::optional<std::string>& otherwise) {
  config.require(key, {"left", "right"});
  return config.get<std::string>(key, otherwise.value_or("right")) == "left";
}

}  // namespace

TokenizerSettings read_tokenizer_settings(const std::string& folder, const std::string& name,
                                          const VocabularyFiles& vocabulary) {
  const auto path = concat(folder, "/tokenizer_config.json");
  const auto where = concat(name, "/tokenizer_config.json");
  Config config = path_exists(path) ? Config::read_file(path, where) : Config(json::object(), where);
  // These fields replace files or parts of the tokenizer. No other field changes an id.
  for (const char* key : {"fast_tokenizer_files", "init_inputs", "vocab", "merges", "gguf_file", "tokenizer_padding",
                          "tokenizer_truncation", "model_specific_special_tokens"}) {
    config.require(key, {json::array(), json::object()});
  }

  TokenTable table(folder, name);
  table.read_config(config);
  if (!config.has("added_tokens_decoder")) {  // this field replaces the older files
    table.read_special_tokens_map();
    table.read_added_tokens_file();
    table.read_tokenizer_json(vocabulary);
  }

  TokenizerSettings settings;
  settings.added_tokens = table.ordered_tokens();
  settings.bos_token = required_token(table, "bos_token", name);
  settings.eos_token = required_token(table, "eos_token", name);
  settings.pad_token = required_token(table, "pad_token", name);
  if (const auto unknown = table.named("unk_token")) settings.unk_token = unknown->token.content;
  settings.model_max_length = read_length(config);
  settings.pads_left = is_left(config, "padding_side", vocabulary.padding_side);
  settings.truncates_left = is_left(config, "truncation_side", vocabulary.truncation_side);
  settings.split_special_tokens = config.get<bool>("split_special_tokens", false);
  return settings;
}

}  // namespace easel
