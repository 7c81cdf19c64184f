#include "weights/format/saved_page.h"

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>
#include <string_view>

#include "core/text.h"
#include "easel/error.h"

namespace easel {
namespace {

constexpr std::size_t kMaxPageBytes = std::size_t{1} << 20;  // far larger than an error message, far below any model

bool begins_with(std::string_view text, std::string_view beginning) {
  return text.size() >= beginning.size() &&
         std::equal(beginning.begin(), beginning.end(), text.begin(),
                    [](char a, char b) { return a == std::tolower(static_cast<unsigned char>(b)); });
}

/// What the text is; null if it may be anything.
const char* page_kind(std::string_view text) {
  for (const std::string_view tag : {"<!doctype", "<html", "<head", "<?xml", "<error"}) {
    if (begins_with(text, tag)) return "a saved web page";
  }
  if (begins_with(text, "version https://git-lfs")) return "a pointer of Git LFS, whose file was not downloaded,";
  if (text.starts_with('{') && nlohmann::json::accept(text)) return "a saved JSON response";
  return nullptr;
}

}  // namespace

void refuse_saved_page(std::span<const std::byte> file, const std::string& where) {
  if (file.size() > kMaxPageBytes) return;
  std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return;
  text.remove_prefix(first);
  const char* kind = page_kind(text);
  if (kind == nullptr) return;
  throw Error(ErrorCode::kCorruptData,
              concat(where, " is ", kind, " in place of a model: it begins with ",
                     quote(escape_control_characters(shortened(text))), "; download it again"));
}

}  // namespace easel
