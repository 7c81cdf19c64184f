#include "hub/model_index.h"

#include <nlohmann/json.hpp>

#include "core/digest.h"
#include "core/json_depth.h"
#include "core/open_file.h"
#include "core/text.h"
#include "easel/error.h"

namespace easel::hub {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxIndexBytes = 1 << 20;
constexpr std::size_t kMaxShardIndexBytes = 64 << 20;

Error invalid_index(const std::string& where, const std::string& what) {
  return {ErrorCode::kCorruptData, concat(where, " ", what)};
}

bool has_checksum(const std::string& text, const RemoteFile& file) {
  const bool by_git_id = file.sha256.empty();
  Digest digest(by_git_id ? DigestKind::kSha1 : DigestKind::kSha256);
  if (by_git_id) digest.update(concat("blob ", text.size(), '\0'));
  digest.update(text);
  return digest.finish_hex() == (by_git_id ? file.git_id : file.sha256);
}

/// The contents of the copy; empty where there is none.
std::string read_copy(const std::string& path) {
  try {
    return read_file(path, path, kMaxIndexBytes);
  } catch (const Error&) {
    return "";
  }
}

json parse_index(const std::string& text, const std::string& where) {
  const auto check_depth = [&](int depth, json::parse_event_t event, const json&) {
    if (exceeds_max_json_depth(depth, event)) throw invalid_index(where, "is nested too deeply");
    return true;
  };
  try {
    auto index = json::parse(text, check_depth);
    if (index.is_object()) return index;
  } catch (const json::exception&) {  // reported below
  }
  throw invalid_index(where, "is not a JSON object");
}

}  // namespace

ModelIndex read_model_index(const HttpClient& client, const Endpoint& endpoint, const Snapshot& snapshot,
                            const RemoteFile& file, const std::string& copy) {
  const auto where = concat(snapshot.repository, ": ", file.path);
  auto text = read_copy(copy);
  if (!has_checksum(text, file)) {
    const auto response = client.get_document({.url = file_url(endpoint, snapshot, file), .token = endpoint.token},
                                              where, kMaxIndexBytes, text);
    check_hub_status(response, endpoint, snapshot.repository);
    if (!has_checksum(text, file)) throw invalid_index(where, "does not have the expected checksum");
  }
  const auto object = parse_index(text, where);
  ModelIndex index;
  for (const auto& [key, value] : object.items()) {
    if (key == "_class_name" && value.is_string()) index.class_name = value.get<std::string>();
    const bool is_pair = value.is_array() && value.size() == 2 && value[0].is_string() && value[1].is_string();
    if (is_pair && !key.starts_with('_')) index.components.insert(key);
  }
  return index;
}

void check_shard_index(const std::string& path, const std::string& name, const std::set<std::string>& shards) {
  const auto index = parse_index(read_file(path, name, kMaxShardIndexBytes), name);
  const auto map = index.find("weight_map");
  if (map == index.end() || !map->is_object()) throw invalid_index(name, "has no `weight_map`");
  for (const auto& [tensor, shard] : map->items()) {
    if (shard.is_string() && shards.contains(shard.get<std::string>())) continue;
    throw invalid_index(
        name, concat("says that ", quote(escape_control_characters(tensor)), " is in ",
                     quote(escape_control_characters(shard.is_string() ? shard.get<std::string>() : shard.dump())),
                     ", which is not a shard of it in the repository"));
  }
}

}  // namespace easel::hub
