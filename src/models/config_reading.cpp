#include "models/config_reading.h"

#include "core/text.h"

namespace easel {
namespace {

std::string field(const Config& config, const std::string& key) {
  const auto& object = config.object();
  return concat(config.where(), ": `", key, "`", object.contains(key) ? concat(" = ", object.at(key).dump()) : "");
}

}  // namespace

Error invalid_field(const Config& config, const std::string& key, const std::string& why) {
  return {ErrorCode::kCorruptData, concat(field(config, key), " ", why)};
}

Error unsupported_field(const Config& config, const std::string& key, const std::string& why) {
  return {ErrorCode::kUnsupported, concat(field(config, key), " ", why)};
}

void check_range(const Config& config, const std::string& key, std::int64_t value, std::int64_t low,
                 std::int64_t high) {
  if (value < low || value > high) {
    throw invalid_field(config, key, concat("has a value of ", value, ", expected ", low, " to ", high));
  }
}

std::int64_t get_in_range(Config& config, const std::string& key, std::int64_t fallback, std::int64_t low,
                          std::int64_t high) {
  const auto value = config.get<std::int64_t>(key, fallback);
  check_range(config, key, value, low, high);
  return value;
}

std::optional<std::int64_t> find_in_range(Config& config, const std::string& key, std::int64_t low, std::int64_t high) {
  const auto value = config.find<std::int64_t>(key);
  if (value) check_range(config, key, *value, low, high);
  return value;
}

std::vector<std::int64_t> get_list_in_range(Config& config, const std::string& key, std::size_t n,
                                            std::int64_t fallback, std::int64_t low, std::int64_t high) {
  auto list = config.get_list<std::int64_t>(key, n, fallback);
  for (const auto value : list) check_range(config, key, value, low, high);
  return list;
}

std::vector<std::string> get_names(Config& config, const std::string& key, std::vector<std::string> fallback) {
  auto names = config.get<std::vector<std::string>>(key, std::move(fallback));
  if (names.empty() || names.size() > static_cast<std::size_t>(kMaxLevels)) {
    throw invalid_field(config, key, concat("has ", names.size(), " entries, expected 1 to ", kMaxLevels));
  }
  return names;
}

std::optional<Activation> find_activation(Config& config, const std::string& key) {
  const auto name = config.find<std::string>(key);
  if (!name) return std::nullopt;
  const auto activation = parse_activation(*name);
  if (!activation) throw unsupported_field(config, key, "is unknown; easel supports silu, swish, gelu, mish, relu");
  return activation;
}

Activation get_activation(Config& config, const std::string& key, Activation fallback) {
  return find_activation(config, key).value_or(fallback);
}

void check_groups(const Config& config, const std::vector<std::int64_t>& block_out_channels,
                  std::int64_t norm_num_groups) {
  for (const auto channels : block_out_channels) {
    if (channels % norm_num_groups != 0) {
      throw invalid_field(
          config, "block_out_channels",
          concat("holds ", channels, ", which `norm_num_groups` = ", norm_num_groups, " does not divide"));
    }
  }
}

}  // namespace easel
