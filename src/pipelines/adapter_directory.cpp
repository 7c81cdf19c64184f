#include "pipelines/adapter_directory.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "core/text.h"
#include "easel/error.h"
#include "weights/message.h"

namespace easel {
namespace {

namespace fs = std::filesystem;

constexpr const char* kExtension = ".safetensors";
constexpr std::size_t kMostNamesShown = 50;
constexpr std::size_t kLongestName = 200;

/// Whether a name stays in the folder.
bool is_plain(const std::string& name) {
  const auto bad = [](char c) { return c == '/' || c == '\\' || static_cast<unsigned char>(c) < ' '; };
  return !name.empty() && name.size() <= kLongestName && name.front() != '.' &&
         std::none_of(name.begin(), name.end(), bad);
}

}  // namespace

AdapterDirectory::AdapterDirectory(std::string path) : path_(std::move(path)) {}

std::vector<std::string> AdapterDirectory::names() const {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator at(path_, error), end; !error && at != end; at.increment(error)) {
    std::error_code unreadable;
    const auto name = at->path().stem().string();
    if (at->path().extension() == kExtension && is_plain(name) && at->is_regular_file(unreadable))
      names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string AdapterDirectory::file(const std::string& name) const {
  if (path_.empty()) {
    throw Error(ErrorCode::kInvalidArgument, "there are no adapters here: --lora-dir names no folder", "loras");
  }
  const auto path = (fs::path(path_) / (name + kExtension)).string();
  std::error_code error;
  if (is_plain(name) && fs::is_regular_file(path, error)) return path;
  auto known = names();
  const auto more = known.size() > kMostNamesShown ? concat(" and ", known.size() - kMostNamesShown, " more") : "";
  known.resize(std::min(known.size(), kMostNamesShown));
  throw Error(ErrorCode::kInvalidArgument,
              concat("there is no adapter ", name_text(name), "; there ",
                     known.empty() ? std::string("are none") : concat("are: ", join(known), more)),
              "loras");
}

}  // namespace easel
