// Reading fields that the configs of several models have in common.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/config.h"
#include "nn/activation.h"

namespace easel {

/// Limits beyond any published model, so that a hostile config fails with the name of its field and not with an
/// allocation.
inline constexpr std::int64_t kMaxChannels = 1 << 16;
inline constexpr std::int64_t kMaxLayers = 256;
inline constexpr std::int64_t kMaxLevels = 16;

/// @throws Error(kCorruptData)  value is not within low to high; names the field
void check_range(const Config& config, const std::string& key, std::int64_t value, std::int64_t low, std::int64_t high);

/// The field, checked by check_range.
std::int64_t get_in_range(Config& config, const std::string& key, std::int64_t fallback, std::int64_t low,
                          std::int64_t high);

/// A field that may be absent, checked by check_range if it is present.
std::optional<std::int64_t> find_in_range(Config& config, const std::string& key, std::int64_t low, std::int64_t high);

/// A list of n values, or one value for all, each checked by check_range.
std::vector<std::int64_t> get_list_in_range(Config& config, const std::string& key, std::size_t n,
                                            std::int64_t fallback, std::int64_t low, std::int64_t high);

/// A list of strings, neither empty nor longer than kMaxLevels. @throws Error(kCorruptData)
std::vector<std::string> get_names(Config& config, const std::string& key, std::vector<std::string> fallback);

/// @throws Error(kUnsupported)  not one of diffusers' activations
Activation get_activation(Config& config, const std::string& key, Activation fallback);
std::optional<Activation> find_activation(Config& config, const std::string& key);

/// @throws Error(kCorruptData)  a number of channels is not a multiple of norm_num_groups
void check_groups(const Config& config, const std::vector<std::int64_t>& block_out_channels,
                  std::int64_t norm_num_groups);

/// The error for a field whose value contradicts another field. @param why  e.g. "needs `num_class_embeds`"
Error invalid_field(const Config& config, const std::string& key, const std::string& why);

/// The error for a field whose value is well-formed but not supported.
Error unsupported_field(const Config& config, const std::string& key, const std::string& why);

}  // namespace easel
