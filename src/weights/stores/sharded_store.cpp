#include "weights/stores/sharded_store.h"

#include <nlohmann/json.hpp>
#include <set>
#include <string_view>

#include "core/text.h"
#include "easel/error.h"
#include "weights/format/mapped_file.h"
#include "weights/format/message_format.h"
#include "weights/stores/safetensors.h"

namespace easel {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxIndexBytes = 100'000'000;  // as much as a safetensors header

/// Parses an object and refuses a key that occurs twice in any one of its objects.
json parse_strictly(const MappedFile& file) {
  const auto bytes = file.bytes();
  if (bytes.size() > kMaxIndexBytes) {
    throw Error(ErrorCode::kCorruptData, concat(file.path(), " has ", bytes.size(), " bytes, too many for an index"));
  }
  std::vector<std::set<std::string>> keys;  // of the objects that enclose the current position
  const auto on_event = [&](int, json::parse_event_t event, json& value) {
    if (event == json::parse_event_t::object_start) keys.emplace_back();
    if (event == json::parse_event_t::object_end) keys.pop_back();
    if (event == json::parse_event_t::key && !keys.back().insert(value.get<std::string>()).second) {
      throw Error(ErrorCode::kCorruptData,
                  concat(file.path(), ": ", quote_name(value.get<std::string>()), " occurs twice"));
    }
    return true;
  };
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  json parsed = json::parse(text, on_event, /*allow_exceptions=*/false);
  if (!parsed.is_object()) throw Error(ErrorCode::kCorruptData, file.path() + " is not a JSON object");
  return parsed;
}

bool is_plain_file_name(const std::string& name, const std::string& ending) {
  return name.ends_with(ending) && name.size() > ending.size() &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos;
}

}  // namespace

ShardIndex read_shard_index(const std::string& path, const std::string& ending) {
  const json parsed = parse_strictly(MappedFile(path));
  const auto corrupt = [&](const auto&... what) { return Error(ErrorCode::kCorruptData, concat(path, ": ", what...)); };
  const auto weight_map = parsed.find("weight_map");
  if (weight_map == parsed.end() || !weight_map->is_object() || weight_map->empty()) {
    throw corrupt("`weight_map` is missing, empty or not an object");
  }
  ShardIndex index;
  std::set<std::string> shards;
  for (const auto& [name, shard] : weight_map->items()) {
    if (!shard.is_string())
      throw corrupt("tensor ", quote_name(name), " is mapped to something that is not a file name");
    const auto file = shard.get<std::string>();
    if (!is_plain_file_name(file, ending)) {
      throw corrupt("tensor ", quote_name(name), " is mapped to ", quote_name(file), ", expected a ", ending,
                    " file in the same folder");
    }
    index.weight_map.emplace(name, file);
    shards.insert(file);
  }
  index.shards.assign(shards.begin(), shards.end());
  return index;
}

ShardedStore::ShardedStore(const std::string& folder, const std::string& index_name)
    : where_(folder + "/" + index_name), index_(read_shard_index(where_, ".safetensors")) {
  for (const auto& file : index_.shards) {
    try {
      shards_[file] = std::make_shared<SafetensorsFile>(concat(folder, "/", file));
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kNotFound) throw;
      throw Error(ErrorCode::kCorruptData, concat(where_, " names a shard that cannot be opened: ", error.what()));
    }
  }
  for (const auto& [name, file] : index_.weight_map) {
    if (shards_.at(file)->find(name) == nullptr) {
      throw Error(ErrorCode::kCorruptData,
                  concat(where_, ": tensor ", quote_name(name), " is not in ", file, " as it says"));
    }
  }
  for (const auto& [file, shard] : shards_) {
    for (const auto& name : shard->names()) {
      const auto mapped = index_.weight_map.find(name);
      if (mapped == index_.weight_map.end() || mapped->second != file) {
        throw Error(ErrorCode::kCorruptData,
                    concat(where_, ": tensor ", quote_name(name), " of ", file, " is not in the index",
                           mapped == index_.weight_map.end() ? "" : " as one of that file"));
      }
    }
  }
}

std::vector<std::string> ShardedStore::names() const {
  std::vector<std::string> names;
  for (const auto& file : index_.shards) {
    for (auto& name : shards_.at(file)->names()) names.push_back(std::move(name));
  }
  return names;
}

const TensorInfo* ShardedStore::find(const std::string& name) const {
  const auto mapped = index_.weight_map.find(name);
  return mapped == index_.weight_map.end() ? nullptr : shards_.at(mapped->second)->find(name);
}

const TensorStore& ShardedStore::shard_of(const std::string& name) const {
  const auto mapped = index_.weight_map.find(name);
  if (mapped == index_.weight_map.end())
    throw Error(ErrorCode::kNotFound, concat(where_, " has no tensor ", quote_name(name)));
  return *shards_.at(mapped->second);
}

at::Tensor ShardedStore::read(const std::string& name) const {
  return shard_of(name).read(name);
}

std::optional<QuantizedWeight> ShardedStore::read_blocks(const std::string& name) const {
  return shard_of(name).read_blocks(name);
}

std::vector<std::shared_ptr<const MappedFile>> ShardedStore::mapped_files() const {
  std::vector<std::shared_ptr<const MappedFile>> files;
  for (const auto& [name, shard] : shards_) {
    for (auto& file : shard->mapped_files()) files.push_back(std::move(file));
  }
  return files;
}

void ShardedStore::release(const std::string& name) const {
  shard_of(name).release(name);
}

}  // namespace easel
