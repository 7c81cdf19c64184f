// Follows CLIPTokenizer's convert_to_native_format in transformers 5.23.0, tokenization_utils_tokenizers.py, and the
// readers of the library `tokenizers`, models/bpe/model.rs.
#include "tokenizers/vocabulary_files.h"

#include <cstdint>
#include <limits>
#include <sstream>
#include <string_view>

#include "core/config.h"
#include "core/open_file.h"
#include "core/text.h"
#include "easel/error.h"
#include "tokenizers/corrupt_data.h"

namespace easel {
namespace {

using nlohmann::json;

Vocabulary read_vocabulary(const json& object, const std::string& where) {
  if (!object.is_object())
    throw corrupt_data(concat(where, ": the vocabulary is ", object.type_name(), ", expected an object"));
  Vocabulary vocabulary;
  std::unordered_map<TokenId, const std::string*> token_of;
  vocabulary.reserve(object.size());
  token_of.reserve(object.size());
  for (const auto& [token, id] : object.items()) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() > std::numeric_limits<std::uint32_t>::max()) {
      throw corrupt_data(
          concat(where, ": the id of `", token, "` is ", id.dump(), ", expected an integer from 0 to 2^32 - 1"));
    }
    const auto [entry, inserted] = vocabulary.emplace(token, id.get<TokenId>());
    const auto [other, unique] = token_of.emplace(entry->second, &entry->first);
    if (!unique)
      throw corrupt_data(concat(where, ": `", *other->second, "` and `", token, "` both have id ", entry->second));
  }
  return vocabulary;
}

/// Parses "a b" as (a, b).
std::optional<Merge> parse_merge(std::string_view line) {
  const auto space = line.find(' ');
  if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos) return std::nullopt;
  return Merge(line.substr(0, space), line.substr(space + 1));
}

std::vector<Merge> read_merges_file(const std::string& path, const std::string& where) {
  constexpr std::size_t kMaxBytes = 100'000'000;
  std::istringstream file(read_file(path, where, kMaxBytes));
  std::vector<Merge> merges;
  std::string line;
  for (std::size_t number = 1; std::getline(file, line); ++number) {
    if (line.ends_with('\r')) line.pop_back();
    if (line.starts_with("#version")) continue;
    auto merge = parse_merge(line);
    if (!merge)
      throw corrupt_data(
          concat(where, ": line ", number, " is `", line, "`, expected two tokens separated by one space"));
    merges.push_back(*std::move(merge));
  }
  return merges;
}

std::vector<Merge> read_merges_list(const json& list, const std::string& where) {
  if (!list.is_array())
    throw corrupt_data(concat(where, ": `model.merges` is ", list.type_name(), ", expected a list"));
  std::vector<Merge> merges;
  for (const auto& item : list) {
    std::optional<Merge> merge;
    if (item.is_string()) merge = parse_merge(item.get_ref<const std::string&>());
    if (item.is_array() && item.size() == 2 && item[0].is_string() && item[1].is_string()) merge = item.get<Merge>();
    if (!merge)
      throw corrupt_data(concat(where, ": merge ", merges.size() + 1, " is ", item.dump(), ", expected two tokens"));
    merges.push_back(*std::move(merge));
  }
  return merges;
}

/// "left" or "right" from the object `key` of a tokenizer.json; none when it is null or has no direction.
std::optional<std::string> read_side(const json& file, const char* key, const std::string& where) {
  const auto object = file.value(key, json());
  if (!object.is_object() || !object.contains("direction")) return std::nullopt;
  const auto& direction = object["direction"];
  if (direction == "Left") return "left";
  if (direction == "Right") return "right";
  throw corrupt_data(
      concat(where, ": `", key, ".direction` is ", direction.dump(), ", expected \"Left\" or \"Right\""));
}

VocabularyFiles read_tokenizer_json(const std::string& path, const std::string& where) {
  const Config config = Config::read_file(path, where);
  const json& file = config.object();
  if (!file.contains("model") || !file["model"].is_object()) throw corrupt_data(concat(where, ": `model` is missing"));
  const json& model = file["model"];
  if (model.contains("type") && model["type"] != "BPE") {
    throw Error(ErrorCode::kUnsupported,
                concat(where, ": `model.type` is ", model["type"].dump(), ", supported: \"BPE\""));
  }
  for (const char* key : {"vocab", "merges"}) {
    if (!model.contains(key)) throw corrupt_data(concat(where, ": `model.", key, "` is missing"));
  }
  VocabularyFiles files;
  files.vocabulary = read_vocabulary(model["vocab"], where);
  files.merges = read_merges_list(model["merges"], where);
  files.merges_where = where;
  const json added = file.value("added_tokens", json::array());
  if (!added.is_array())
    throw corrupt_data(concat(where, ": `added_tokens` is ", added.type_name(), ", expected a list"));
  files.added_tokens.assign(added.begin(), added.end());
  files.padding_side = read_side(file, "padding", where);
  files.truncation_side = read_side(file, "truncation", where);
  return files;
}

}  // namespace

VocabularyFiles read_vocabulary_files(const std::string& folder, const std::string& name) {
  const auto path = [&](const char* file) { return concat(folder, "/", file); };
  const auto where = [&](const char* file) { return concat(name, "/", file); };
  if (path_exists(path("tokenizer.json"))) return read_tokenizer_json(path("tokenizer.json"), where("tokenizer.json"));
  VocabularyFiles files;
  const auto vocabulary = Config::read_file(path("vocab.json"), where("vocab.json"));
  files.vocabulary = read_vocabulary(vocabulary.object(), where("vocab.json"));
  files.merges = read_merges_file(path("merges.txt"), where("merges.txt"));
  files.merges_where = where("merges.txt");
  return files;
}

}  // namespace easel
