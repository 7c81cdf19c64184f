// Reading a component's config.json field by field, so that no field is ignored by accident.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "easel/error.h"

namespace easel {

/// One JSON object whose every field is either read, named as harmless, or an error.
///
/// Typical use: read fields with get/find, refuse unsupported values with require, name what does not change numbers
/// with ignore, then finish(). A null field counts as absent. Keys that begin with '_' are notes, never read.
/// Not thread-safe.
class Config {
 public:
  /// @param where  what messages call it, e.g. "unet/config.json"
  Config(nlohmann::json object, std::string where);

  /// Also takes Python's Infinity, -Infinity and NaN, which its json module writes where a number is none of JSON's:
  /// they come as strings, and find<double> reads those as the numbers they stand for.
  /// @throws Error(kNotFound, kCorruptData)  no such file; not a JSON object
  static Config read_file(const std::string& path, std::string where);

  bool has(const std::string& key) const;  ///< present and not null

  /// The field, or none when absent or null.
  /// @throws Error(kCorruptData)  of another type; names field, value and type
  template <class T>
  std::optional<T> find(const std::string& key) {
    used_.insert(key);
    if (!has(key)) return std::nullopt;
    return convert<T>(key, object_.at(key));
  }
  template <class T>
  T get(const std::string& key, T fallback) {
    const auto found = find<T>(key);
    return found ? *found : fallback;
  }
  /// @throws Error(kCorruptData)  absent
  template <class T>
  T get(const std::string& key) {
    const auto found = find<T>(key);
    if (!found) throw missing(key);
    return *found;
  }
  /// A list of n, from a list of n or one value for all.
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

  /// The raw field; null when absent.
  const nlohmann::json& raw(const std::string& key);

  /// Refuses every value but the ones listed; absent and null are fine.
  /// @throws Error(kUnsupported)  names field, value and what is supported
  void require(const std::string& key, const std::vector<nlohmann::json>& supported);

  /// These change no number, or only in training.
  void ignore(const std::vector<std::string>& keys);

  /// @throws Error(kUnsupported)  names every field that is neither read, ignored nor null
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
