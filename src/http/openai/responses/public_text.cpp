#include "http/openai/responses/public_text.h"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <functional>
#include <string_view>
#include <utility>

namespace easel::http {
namespace {

// Whether a name goes on here, so that /models/a is not taken for the beginning of /models/ab.
bool continues_name(std::string_view text, std::size_t at) {
  return at < text.size() && (std::isalnum(static_cast<unsigned char>(text[at])) || text[at] == '_' || text[at] == '-');
}

std::string_view last_part(std::string_view path) {
  return path.substr(path.rfind('/') + 1);  // all of it without a slash
}

}  // namespace

std::string without_folder(std::string text, std::string_view folder) {
  while (folder.size() > 1 && folder.ends_with('/')) folder.remove_suffix(1);
  if (folder.size() <= 1) return text;
  const std::string name(last_part(folder));
  for (auto at = text.find(folder); at != std::string::npos; at = text.find(folder, at)) {
    const auto end = at + folder.size();
    if (end < text.size() && text[end] == '/') {
      text.erase(at, folder.size() + 1);
    } else if (continues_name(text, end)) {
      at = end;
    } else {
      text.replace(at, folder.size(), name);
      at += name.size();
    }
  }
  return text;
}

std::string without_folders(std::string text, std::vector<std::string> folders) {
  // The longest first: the folder of one model may be in that of another.
  std::ranges::stable_sort(folders, std::ranges::greater(), [](const auto& folder) { return folder.size(); });
  for (const auto& folder : folders) text = without_folder(std::move(text), folder);
  return text;
}

}  // namespace easel::http
