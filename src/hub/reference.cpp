#include "hub/reference.h"

#include <algorithm>
#include <cctype>

#include "core/text.h"
#include "easel/error.h"

namespace easel::hub {
namespace {

constexpr std::size_t kMaxPathBytes = 1024, kMaxPartBytes = 200;

bool is_name_character(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' || c == '.';
}

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= 96 && text.front() != '.' && text.find("..") == std::string_view::npos &&
         std::all_of(text.begin(), text.end(), is_name_character);
}

Error malformed(std::string_view text) {
  return {ErrorCode::kInvalidArgument,
          concat(quote(escape_control_characters(text)), " is not a model's name; expected ORG/NAME, ",
                 "ORG/NAME[/FOLDER][@REVISION][:FILE], an https address, or the name of a recipe")};
}

/// Cuts the text at the first `separator` and returns what follows it; empty where there is none.
std::string cut(std::string_view& text, char separator) {
  const auto at = text.find(separator);
  if (at == std::string_view::npos) return "";
  std::string rest(text.substr(at + 1));
  text = text.substr(0, at);
  return rest;
}

}  // namespace

std::string Reference::name() const {
  const auto& path = folder.empty() ? repository : folder;
  return path.substr(path.rfind('/') + 1);
}

Reference parse_reference(std::string_view text) {
  const auto whole = text;
  Reference reference;
  const bool has_file = text.find(':') != std::string_view::npos, has_revision = text.find('@') < text.find(':');
  reference.file = cut(text, ':');
  if (has_revision) reference.revision = cut(text, '@');
  const auto first = text.find('/');
  if (first == std::string_view::npos) throw malformed(whole);
  const auto second = text.find('/', first + 1);
  reference.repository = std::string(text.substr(0, second));
  if (second != std::string_view::npos) reference.folder = std::string(text.substr(second + 1));
  const bool good_revision = is_safe_path(reference.revision);
  const bool good_folder = second == std::string_view::npos || is_safe_path(reference.folder);
  const bool good_file = !has_file || is_safe_path(reference.file);
  if (!is_name(text.substr(0, first)) || !is_name(std::string_view(reference.repository).substr(first + 1)) ||
      !good_revision || !good_folder || !good_file) {
    throw malformed(whole);
  }
  return reference;
}

bool is_safe_path(std::string_view path) {
  if (path.empty() || path.size() > kMaxPathBytes) return false;
  const auto is_bad = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '\\' || c == ':'; };
  if (std::any_of(path.begin(), path.end(), is_bad)) return false;
  for (std::size_t begin = 0; begin <= path.size();) {
    const auto end = std::min(path.find('/', begin), path.size());
    const auto part = path.substr(begin, end - begin);
    if (part.empty() || part.front() == '.' || part.size() > kMaxPartBytes) return false;
    begin = end + 1;
  }
  return true;
}

std::string escape_path(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string escaped;
  for (const unsigned char c : text) {
    if (std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.' || c == '~' || c == '/') {
      escaped += static_cast<char>(c);
    } else {
      escaped += {'%', kHex[c >> 4], kHex[c & 15]};
    }
  }
  return escaped;
}

}  // namespace easel::hub
