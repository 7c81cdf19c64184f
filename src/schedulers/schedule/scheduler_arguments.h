// The arguments that X.from_config(scheduler_config.json) would pass to X's constructor.
#pragma once

#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/config.h"

namespace easel {

/// A scheduler's keyword arguments by name, each read with the default of the class that reads it.
///
/// Rules of the reference's ConfigMixin: a key in the JSON carries over whatever class wrote it; a key that the class
/// does not read is dropped; keys listed in `_use_default_values` count as absent; a null is Python's None, not an
/// absent key, so it is false for a flag and an error for a number or a name. Not thread-safe.
class SchedulerArguments {
 public:
  /// @param overrides  an object whose values replace those of the JSON
  /// @throws Error(kCorruptData)  not a JSON object
  SchedulerArguments(const nlohmann::json& scheduler_config, const nlohmann::json& overrides);

  /// Each throws Error(kCorruptData) naming the key when the value has another type.
  bool flag(const std::string& key, bool fallback);
  std::int64_t integer(const std::string& key, std::int64_t fallback);
  double number(const std::string& key, double fallback);           ///< finite, also in float32
  double extended_number(const std::string& key, double fallback);  ///< infinities too
  std::optional<double> optional_number(const std::string& key);    ///< finite; None by default
  std::optional<std::vector<double>> optional_numbers(const std::string& key);
  std::string name(const std::string& key, const std::string& fallback);

  /// One of several names. @throws Error(kUnsupported)  another name; lists the supported names
  template <class T>
  T choice(const std::string& key, const std::string& fallback,
           std::initializer_list<std::pair<const char*, T>> supported) {
    const auto found = name(key, fallback);
    std::vector<std::string> names;
    for (const auto& [known, value] : supported) {
      if (found == known) return value;
      names.push_back(known);
    }
    throw unknown_name(key, found, names);
  }

  bool has(const std::string& key) const;      ///< present, and not null
  bool is_null(const std::string& key) const;  ///< present, and null
  /// True when the key holds exactly this string.
  bool is(const std::string& key, const std::string& value) const;

  /// Errors for the caller to throw; the message has the key, its value and the reason.
  Error unsupported(const std::string& key, const std::string& reason) const;
  Error corrupt(const std::string& key, const std::string& reason) const;

 private:
  void reject_null(const std::string& key) const;
  Error unknown_name(const std::string& key, const std::string& found, const std::vector<std::string>& names) const;
  std::string describe(const std::string& key) const;

  Config config_;
};

}  // namespace easel
