// Reads a component's config.json field by field, so that no field is ignored by accident.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "easel/error.h"

namespace easel {

/// A JSON object in which every field must be read or explicitly ignored; any other field is an error.
///
/// Typical use: read fields with get and find, refuse unsupported values with require, list fields that do not change
/// results with ignore, then call finish. A null field counts as absent. Keys that begin with '_' are comments.
/// Not thread-safe.
class Config {
 public:
  /// @param where  the name of the object in messages, e.g. "unet/config.json"
  Config(nlohmann::json object, std::string where);

  /// Also accepts Infinity, -Infinity and NaN, which Python's json module writes although JSON does not have them: they
  /// become strings, and find<double> reads those strings as numbers.
  /// @throws Error(kNotFound, kCorruptData)  there is no such file, or it is not a JSON object
  static Config read_file(const std::string& path, std::string where);

  bool has(const std::string& key) const;  ///< present and not null

  /// The field, or none when it is absent or null.
  /// @throws Error(kCorruptData)  it has another type; the message names field, value and expected type
  template <class T>
  std::optional<T> find(const std::string& key) {
    used_.insert(key);
    if (!has(key)) return std::nullopt;
    return convert<T>(key, object_.at(key));
  }
  template <class T>
  T get(const std::string& key, T fallback) {
    auto found = find<T>(key);
    return found ? *std::move(found) : std::move(fallback);
  }
  /// @throws Error(kCorruptData)  the field is absent or null
  template <class T>
  T get(const std::string& key) {
    const auto found = find<T>(key);
    if (!found) throw missing(key);
    return *found;
  }
  /// A list of n values, from a list of n or from a single value that is repeated.
  template <class T>
  std::vector<T> get_list(const std::string& key, std::size_t n, T fallback) {
    if (!has(key)) {
      used_.insert(key);
      return std::vector<T>(n, fallback);
    }
    if (!object_.at(key).is_array()) return std::vector<T>(n, get<T>(key));
    auto list = get<std::vector<T>>(key);
    if (list.size() != n) throw wrong_length(key, list.size(), n);
    return list;
  }

  /// The field as JSON; null when it is absent.
  const nlohmann::json& raw(const std::string& key);

  /// Refuses every value but those listed; the field may be absent or null.
  /// @throws Error(kUnsupported)  the message names field, value and the supported values
  void require(const std::string& key, const std::vector<nlohmann::json>& supported);

  /// Marks fields that do not change results, or only those of training.
  void ignore(const std::vector<std::string>& keys);

  /// @throws Error(kUnsupported)  some field was neither read nor ignored and is not null; the message names them all
  void finish() const;

  const nlohmann::json& object() const { return object_; }
  const std::string& where() const { return where_; }

 private:
  template <class T>
  T convert(const std::string& key, const nlohmann::json& value) const;
  Error missing(const std::string& key) const;
  Error wrong_length(const std::string& key, std::size_t found, std::size_t expected) const;
  Error wrong_type(const std::string& key, const char* expected) const;

  nlohmann::json object_;
  std::string where_;
  std::set<std::string> used_;
};

}  // namespace easel
