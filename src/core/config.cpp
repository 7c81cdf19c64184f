#include "core/config.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>

#include "core/json_depth.h"
#include "core/open_file.h"
#include "core/text.h"

namespace easel {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxBytes = 100'000'000;  // far above any real file: a tokenizer.json has a few MB

constexpr std::pair<std::string_view, double> kPythonNumbers[] = {
    {"-Infinity", -std::numeric_limits<double>::infinity()},
    {"Infinity", std::numeric_limits<double>::infinity()},
    {"NaN", std::numeric_limits<double>::quiet_NaN()},
};

// Python's json module writes these three as bare words, which JSON does not allow; this turns them into strings.
std::string quote_python_numbers(std::string_view text) {
  std::string quoted;
  bool in_string = false;
  while (!text.empty()) {
    std::size_t length = 1;
    bool is_word = false;
    if (in_string) {
      if (text[0] == '\\' && text.size() > 1) length = 2;
    } else {
      for (const auto& [word, value] : kPythonNumbers) {
        if (!is_word && text.starts_with(word)) {
          is_word = true;
          length = word.size();
        }
      }
    }
    if (text[0] == '"') in_string = !in_string;
    if (is_word) quoted += '"';
    quoted += text.substr(0, length);
    if (is_word) quoted += '"';
    text.remove_prefix(length);
  }
  return quoted;
}

json parse(std::string_view text, const std::string& where) {
  const auto corrupt = [&](const auto&... what) { return Error(ErrorCode::kCorruptData, concat(where, what...)); };
  const auto on_event = [&](int depth, json::parse_event_t event, const json&) {
    if (exceeds_max_json_depth(depth, event)) throw corrupt(" is nested deeper than ", kMaxJsonDepth, " levels");
    return true;
  };
  try {
    return json::parse(text, on_event);
  } catch (const json::parse_error& e) {
    const auto end = text.begin() + static_cast<std::ptrdiff_t>(std::min(e.byte, text.size()));
    if (text.empty()) throw corrupt(" is empty");
    throw corrupt(" is not valid JSON in line ", 1 + std::count(text.begin(), end, '\n'));
  } catch (const json::out_of_range&) {
    throw corrupt(" contains a number that is too large");
  }
}

std::optional<double> python_number(const json& value) {
  for (const auto& [word, number] : kPythonNumbers) {
    if (value == word) return number;
  }
  return std::nullopt;
}

bool is_integer(const json& value) {
  if (value.is_number_integer()) return !value.is_number_unsigned() || value.get<std::uint64_t>() <= INT64_MAX;
  return value.is_number_float() && std::abs(value.get<double>()) < 9e15 &&
         std::floor(value.get<double>()) == value.get<double>();
}

std::int64_t to_integer(const json& value) {
  return value.is_number_integer() ? value.get<std::int64_t>() : static_cast<std::int64_t>(value.get<double>());
}

template <class T>
bool is(const json& value);
template <>
bool is<bool>(const json& value) {
  return value.is_boolean();
}
template <>
bool is<std::int64_t>(const json& value) {
  return is_integer(value);
}
template <>
bool is<double>(const json& value) {
  return value.is_number();
}
template <>
bool is<std::string>(const json& value) {
  return value.is_string();
}

template <class T>
std::vector<T> list_of(const json& value, bool& ok) {
  std::vector<T> list;
  ok = value.is_array();
  for (std::size_t i = 0; ok && i < value.size(); ++i) {
    ok = is<T>(value[i]);
    if (ok) {
      if constexpr (std::is_same_v<T, std::int64_t>) {
        list.push_back(to_integer(value[i]));
      } else {
        list.push_back(value[i].get<T>());
      }
    }
  }
  return list;
}

}  // namespace

Config::Config(nlohmann::json object, std::string where) : object_(std::move(object)), where_(std::move(where)) {
  if (!object_.is_object()) throw Error(ErrorCode::kCorruptData, concat(where_, " is not a JSON object"));
}

Config Config::read_file(const std::string& path, std::string where) {
  auto parsed = parse(quote_python_numbers(easel::read_file(path, where, kMaxBytes)), where);
  return Config(std::move(parsed), std::move(where));
}

bool Config::has(const std::string& key) const {
  return object_.contains(key) && !object_.at(key).is_null();
}

const json& Config::raw(const std::string& key) {
  static const json kNull;
  used_.insert(key);
  return has(key) ? object_.at(key) : kNull;
}

void Config::require(const std::string& key, const std::vector<json>& supported) {
  used_.insert(key);
  if (!has(key)) return;
  std::vector<std::string> names;
  for (const auto& value : supported) {
    if (object_.at(key) == value) return;
    names.push_back(value.dump());
  }
  throw Error(ErrorCode::kUnsupported, concat(where_, ": `", key, "` is ", object_.at(key).dump(), "; easel supports ",
                                              names.empty() ? "null" : join(names, " or ")));
}

void Config::ignore(const std::vector<std::string>& keys) {
  used_.insert(keys.begin(), keys.end());
}

void Config::finish() const {
  std::vector<std::string> unread;
  for (const auto& [key, value] : object_.items()) {
    if (!value.is_null() && !key.starts_with('_') && !used_.contains(key)) {
      unread.push_back(concat("`", key, "` = ", value.dump()));
    }
  }
  if (!unread.empty()) {
    throw Error(ErrorCode::kUnsupported, concat(where_, ": easel does not know ", join(unread)));
  }
}

Error Config::missing(const std::string& key) const {
  return {ErrorCode::kCorruptData, concat(where_, ": `", key, "` is missing")};
}

Error Config::wrong_length(const std::string& key, std::size_t found, std::size_t expected) const {
  return {ErrorCode::kCorruptData, concat(where_, ": `", key, "` has ", found, " entries, expected ", expected)};
}

Error Config::wrong_type(const std::string& key, const char* expected) const {
  return {ErrorCode::kCorruptData,
          concat(where_, ": `", key, "` is ", object_.at(key).dump(), ", expected ", expected)};
}

template <>
bool Config::convert<bool>(const std::string& key, const json& value) const {
  if (!is<bool>(value)) throw wrong_type(key, "true or false");
  return value.get<bool>();
}
template <>
std::int64_t Config::convert<std::int64_t>(const std::string& key, const json& value) const {
  if (!is_integer(value)) throw wrong_type(key, "an integer");
  return to_integer(value);
}
template <>
double Config::convert<double>(const std::string& key, const json& value) const {
  if (const auto number = python_number(value)) return *number;
  if (!value.is_number()) throw wrong_type(key, "a number");
  return value.get<double>();
}
template <>
std::string Config::convert<std::string>(const std::string& key, const json& value) const {
  if (!value.is_string()) throw wrong_type(key, "a string");
  return value.get<std::string>();
}
template <>
std::vector<std::int64_t> Config::convert<std::vector<std::int64_t>>(const std::string& key, const json& value) const {
  bool ok;
  auto list = list_of<std::int64_t>(value, ok);
  if (!ok) throw wrong_type(key, "a list of integers");
  return list;
}
template <>
std::vector<double> Config::convert<std::vector<double>>(const std::string& key, const json& value) const {
  bool ok;
  auto list = list_of<double>(value, ok);
  if (!ok) throw wrong_type(key, "a list of numbers");
  return list;
}
template <>
std::vector<bool> Config::convert<std::vector<bool>>(const std::string& key, const json& value) const {
  bool ok;
  auto list = list_of<bool>(value, ok);
  if (!ok) throw wrong_type(key, "a list of true and false");
  return list;
}
template <>
std::vector<std::string> Config::convert<std::vector<std::string>>(const std::string& key, const json& value) const {
  bool ok;
  auto list = list_of<std::string>(value, ok);
  if (!ok) throw wrong_type(key, "a list of strings");
  return list;
}

}  // namespace easel
