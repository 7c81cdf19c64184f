// AUTOMATIC1111's `parameters` text, as modules/infotext_utils.py of its web UI writes and parses it.
#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>

#include "core/text.h"
#include "easel/image_metadata.h"

namespace easel {
namespace {

constexpr std::string_view kNegativePrefix = "Negative prompt:";
constexpr std::size_t kFewestSettings = 3;  // a last line with fewer belongs to the prompt

bool is_space(char c) {
  return std::isspace(static_cast<unsigned char>(c)) != 0;
}

std::string_view stripped(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

std::string quote_if_needed(const std::string& value) {
  const bool plain = value.find_first_of(",\n:\"") == std::string::npos && stripped(value).size() == value.size();
  if (plain) return value;
  return nlohmann::json(value).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

/// Bytes of UTF-8 sequences count as letters.
bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || static_cast<unsigned char>(c) >= 0x80;
}

std::size_t end_of_name(std::string_view line, std::size_t at) {
  while (at < line.size() && (is_word(line[at]) || line[at] == ' ' || line[at] == '-' || line[at] == '/')) ++at;
  return at;
}

/// The end of the JSON string that begins at `at`, if a comma or the end of the line follows it; else npos.
std::size_t end_of_quoted(std::string_view line, std::size_t at) {
  if (at >= line.size() || line[at] != '"') return std::string_view::npos;
  auto end = at + 1;
  while (end < line.size() && line[end] != '"') end += line[end] == '\\' ? 2 : 1;
  if (end >= line.size() || end == at + 1) return std::string_view::npos;
  ++end;
  return end == line.size() || line[end] == ',' ? end : std::string_view::npos;
}

std::string unquoted(std::string_view value) {
  if (value.size() < 2 || value.front() != '"' || value.back() != '"') return std::string(value);
  const auto parsed = nlohmann::json::parse(value, nullptr, false);
  return parsed.is_string() ? parsed.get<std::string>() : std::string(value);
}

/// What A1111's expression `\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)` finds in a line.
std::vector<std::pair<std::string, std::string>> settings_of(std::string_view line) {
  std::vector<std::pair<std::string, std::string>> settings;
  for (std::size_t at = 0; at < line.size();) {
    const auto name_end = is_word(line[at]) ? end_of_name(line, at) : at;
    if (name_end < at + 2 || name_end >= line.size() || line[name_end] != ':') {
      // The expression can match from no place before the character that ended the name.
      at = std::max(at + 1, name_end);
      continue;
    }
    auto begin = name_end + 1;
    while (begin < line.size() && is_space(line[begin])) ++begin;
    auto end = end_of_quoted(line, begin);
    if (end == std::string_view::npos) end = std::min(line.find(',', begin), line.size());
    settings.emplace_back(line.substr(at, name_end - at), unquoted(line.substr(begin, end - begin)));
    at = end + 1;
  }
  return settings;
}

void append_line(std::string& text, std::string_view line) {
  if (!text.empty()) text += '\n';
  text += line;
}

}  // namespace

std::string write_parameters(const ParametersText& text) {
  auto written = text.prompt;
  if (!text.negative_prompt.empty()) written += concat('\n', kNegativePrefix, ' ', text.negative_prompt);
  std::string settings;
  for (const auto& [name, value] : text.settings) {
    if (value.empty()) continue;
    settings += concat(settings.empty() ? "" : ", ", name, ": ", quote_if_needed(value));
  }
  return settings.empty() ? written : concat(written, '\n', settings);
}

ParametersText parse_parameters(std::string_view text) {
  ParametersText parsed;
  text = stripped(text);
  const auto last_break = text.rfind('\n');
  const auto last_line = last_break == std::string_view::npos ? text : text.substr(last_break + 1);
  parsed.settings = settings_of(last_line);
  if (parsed.settings.size() < kFewestSettings) {
    parsed.settings.clear();
  } else {
    text = text.substr(0, text.size() - last_line.size());
    if (text.empty()) return parsed;
    text.remove_suffix(1);  // the line break
  }
  bool negative = false;
  for (bool more = true; more;) {
    const auto line_end = std::min(text.find('\n'), text.size());
    auto line = stripped(text.substr(0, line_end));
    more = line_end < text.size();
    if (more) text.remove_prefix(line_end + 1);
    if (line.starts_with(kNegativePrefix)) {
      negative = true;
      line = stripped(line.substr(kNegativePrefix.size()));
    }
    append_line(negative ? parsed.negative_prompt : parsed.prompt, line);
  }
  return parsed;
}

}  // namespace easel
