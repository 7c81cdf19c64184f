#include "hub/reference.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <system_error>
#include <vector>

#include "core/text.h"
#include "easel/error.h"

namespace easel::hub {
namespace {

constexpr std::size_t kMaxPathBytes = 1024, kMaxPartBytes = 200;
/// What names of parameters contain whose values give access.
constexpr const char* kSecretWords[] = {"token", "key", "secret", "password", "signature"};

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

/// @param plain  what is not escaped in addition to letters and digits
std::string escape(std::string_view text, std::string_view plain) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string escaped;
  for (const unsigned char c : text) {
    if (std::isalnum(c) != 0 || plain.find(static_cast<char>(c)) != std::string_view::npos) {
      escaped += static_cast<char>(c);
    } else {
      escaped += {'%', kHex[c >> 4], kHex[c & 15]};
    }
  }
  return escaped;
}

bool is_secret_parameter(std::string_view name) {
  const auto lower = lower_case(name);
  return std::any_of(std::begin(kSecretWords), std::end(kSecretWords),
                     [&](const char* word) { return lower.find(word) != std::string::npos; });
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

std::string reference_of_page(std::string_view address, std::string_view hub) {
  if (!address.starts_with(hub) || address.size() <= hub.size() || address[hub.size()] != '/') return "";
  auto rest = address.substr(hub.size() + 1);
  rest = rest.substr(0, rest.find_first_of("?#"));
  while (rest.ends_with('/')) rest.remove_suffix(1);
  std::vector<std::string> parts(1);
  for (const char c : rest) {
    if (c == '/' && parts.size() < 5) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  for (auto& part : parts) part = unescape(part);
  const bool is_folder = parts.size() > 3 && parts[2] == "tree";
  const bool is_file = parts.size() > 4 && (parts[2] == "blob" || parts[2] == "resolve");
  if (parts.size() != 2 && !is_folder && !is_file) return "";
  auto repository = concat(parts[0], "/", parts[1]);
  if (parts.size() == 2) return repository;
  if (parts.size() == 4) return concat(repository, "@", parts[3]);
  return is_folder ? concat(repository, "/", parts[4], "@", parts[3])
                   : concat(repository, "@", parts[3], ":", parts[4]);
}

std::string lower_case(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
  return lower;
}

std::string unescape(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned char byte = 0;
    const auto digits = text.substr(i + 1, 2);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), byte, 16);
    const bool is_escape = text[i] == '%' && digits.size() == 2 && error == std::errc() && end == digits.data() + 2;
    plain += is_escape ? static_cast<char>(byte) : text[i];
    if (is_escape) i += 2;
  }
  return plain;
}

std::string escape_path(std::string_view text) {
  return escape(text, "-_.~/");
}

std::string escape_part(std::string_view text) {
  return escape(text, "-_.~");
}

std::string without_secrets(std::string_view address) {
  const auto scheme = address.find("://");
  if (scheme == std::string_view::npos) return std::string(address);
  const auto authority = scheme + 3;
  const auto path = std::min(address.find_first_of("/?#", authority), address.size());
  const auto user = address.substr(authority, path - authority).rfind('@');
  const auto host = user == std::string_view::npos ? authority : authority + user + 1;
  const auto query = std::min(address.find('?', path), address.size());
  auto rest = concat(address.substr(0, authority), address.substr(host, query - host));
  for (auto begin = query; begin < address.size();) {
    const auto end = std::min(address.find_first_of("&#", begin + 1), address.size());
    const auto parameter = address.substr(begin, end - begin);
    const auto equals = parameter.find('=');
    const bool is_secret = equals != std::string_view::npos && is_secret_parameter(parameter.substr(1, equals - 1));
    rest += is_secret ? concat(parameter.substr(0, equals + 1), "***") : std::string(parameter);
    begin = end;
  }
  return rest;
}

}  // namespace easel::hub
