#include "adapters/adapter_directory.h"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <string_view>
#include <system_error>

#include "core/text.h"
#include "easel/error.h"
#include "weights/format/message_format.h"

namespace easel {
namespace {

namespace fs = std::filesystem;

constexpr const char* kExtension = ".safetensors";
constexpr std::size_t kMaxNamesListed = 50;
constexpr std::size_t kMaxNameLength = 1000;
constexpr int kMaxDepth = 8;  // of nested folders; links can form cycles

/// Whether the name of a file or folder is visible and contains no separators.
bool is_safe_name(std::string_view name) {
  const auto bad = [](char c) { return c == '/' || c == '\\' || static_cast<unsigned char>(c) < ' '; };
  return !name.empty() && name.front() != '.' && std::none_of(name.begin(), name.end(), bad);
}

/// Whether an adapter's name, which may contain subfolders, stays inside the folder.
bool is_inside_folder(std::string_view name) {
  if (name.size() > kMaxNameLength) return false;
  while (true) {
    const auto slash = name.find('/');
    if (!is_safe_name(name.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    name.remove_prefix(slash + 1);
  }
}

/// Whether a link leads to a folder that contains the link.
bool is_cyclic_link(const fs::path& link) {
  std::error_code error;
  const auto to = fs::canonical(link, error);
  if (error) return true;
  const auto from = fs::canonical(link.parent_path(), error);
  return error || std::mismatch(to.begin(), to.end(), from.begin(), from.end()).first == to.end();
}

}  // namespace

AdapterDirectory::AdapterDirectory(std::string path) : path_(std::move(path)) {}

std::vector<std::string> AdapterDirectory::names() const {
  std::vector<std::string> names;
  std::error_code error;
  constexpr auto kOptions =
      fs::directory_options::follow_directory_symlink | fs::directory_options::skip_permission_denied;
  for (fs::recursive_directory_iterator at(path_, kOptions, error), end; !error && at != end; at.increment(error)) {
    std::error_code unreadable;
    const auto& path = at->path();
    if (at->is_directory(unreadable)) {
      if (!is_safe_name(path.filename().string()) || at.depth() >= kMaxDepth ||
          (at->is_symlink(unreadable) && is_cyclic_link(path))) {
        at.disable_recursion_pending();
      }
    } else if (path.extension() == kExtension && is_safe_name(path.stem().string()) &&
               at->is_regular_file(unreadable)) {
      names.push_back((path.parent_path() / path.stem()).lexically_relative(path_).string());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string AdapterDirectory::file(const std::string& asked) const {
  if (path_.empty()) {
    throw Error(ErrorCode::kInvalidArgument, "no adapters are available: the server was started without --lora-dir",
                "loras");
  }
  const auto name = asked.ends_with(kExtension) ? fs::path(asked).replace_extension().string() : asked;
  const auto path_of = [&](const std::string& inside) { return (fs::path(path_) / (inside + kExtension)).string(); };
  std::error_code error;
  if (is_inside_folder(name) && fs::is_regular_file(path_of(name), error)) return path_of(name);
  auto known = names();
  std::vector<std::string> same;
  std::copy_if(known.begin(), known.end(), std::back_inserter(same),
               [&](const std::string& other) { return other.ends_with('/' + name); });
  if (same.size() == 1) return path_of(same[0]);
  if (!same.empty()) {
    throw Error(ErrorCode::kInvalidArgument,
                concat("the adapter ", quote_name(name), " is in several folders; name one of them: ", join(same)),
                "loras");
  }
  const auto more = known.size() > kMaxNamesListed ? concat(" and ", known.size() - kMaxNamesListed, " more") : "";
  known.resize(std::min(known.size(), kMaxNamesListed));
  throw Error(ErrorCode::kInvalidArgument,
              concat("there is no adapter ", quote_name(asked), "; ",
                     known.empty() ? std::string("the folder has none") : concat("there are: ", join(known), more)),
              "loras");
}

}  // namespace easel
