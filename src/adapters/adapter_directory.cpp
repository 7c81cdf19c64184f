#include "adapters/adapter_directory.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "core/text.h"
#include "easel/error.h"
#include "weights/format/file_names.h"
#include "weights/format/message_format.h"
#include "weights/stores/safetensors.h"

namespace easel {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxNamesListed = 50;
// Coarser than any file system's timestamps: two changes within this time may have the same one.
constexpr std::chrono::seconds kCoarsestMtime(2);
constexpr int kMaxDepth = 8;  // of nested folders; links can form cycles

/// Whether the name of a file or folder is visible and contains no separators.
bool is_safe_name(std::string_view name) {
  const auto bad = [](char c) { return c == '/' || c == '\\' || static_cast<unsigned char>(c) < ' '; };
  return !name.empty() && name.front() != '.' && std::none_of(name.begin(), name.end(), bad);
}

/// Whether a link leads to a folder that contains the link.
bool is_cyclic_link(const fs::path& link) {
  std::error_code error;
  const auto to = fs::canonical(link, error);
  if (error) return true;
  const auto from = fs::canonical(link.parent_path(), error);
  return error || std::mismatch(to.begin(), to.end(), from.begin(), from.end()).first == to.end();
}

/// The name that kohya's trainer gave the adapter; empty if its file has none or cannot be read.
std::string output_name_of(const std::string& path) {
  try {
    const SafetensorsFile file(path);
    const auto found = file.metadata().find("ss_output_name");
    return found == file.metadata().end() || found->second == "None" ? "" : found->second;
  } catch (const Error&) {
    return "";
  }
}

/// A request may name the file with its extension.
std::string without_extension(const std::string& name) {
  return is_safetensors_name(name) ? fs::path(name).replace_extension().string() : name;
}

}  // namespace

AdapterDirectory::AdapterDirectory(std::string path) : path_(std::move(path)) {}

std::vector<std::string> AdapterDirectory::names() const {
  const MutexLock lock(mutex_);
  std::vector<std::string> names;
  for (const auto& [name, entry] : index().entries) names.push_back(name);
  return names;
}

std::size_t AdapterDirectory::scans() const {
  const MutexLock lock(mutex_);
  return scans_;
}

bool AdapterDirectory::is_current() const {
  if (!index_.settled) return false;
  return std::ranges::all_of(index_.folders, [](const auto& folder) {
    std::error_code gone;
    return fs::last_write_time(folder.first, gone) == folder.second && !gone;
  });
}

const AdapterDirectory::Index& AdapterDirectory::index() const {
  if (!path_.empty() && !is_current()) {
    index_ = read();
    ++scans_;
  }
  return index_;
}

AdapterDirectory::Index AdapterDirectory::read() const {
  Index index;
  index.settled = true;
  const auto now = FileTime::clock::now();
  const auto add_folder = [&](const fs::path& folder) {
    std::error_code gone;
    const auto time = fs::last_write_time(folder, gone);
    index.settled = index.settled && !gone && now - time > kCoarsestMtime;
    index.folders[folder.string()] = time;
  };
  add_folder(path_);
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
      } else {
        add_folder(path);
      }
    } else if (is_safetensors_name(path.string()) && is_safe_name(path.stem().string()) &&
               at->is_regular_file(unreadable)) {
      const auto name = (path.parent_path() / path.stem()).lexically_relative(path_).string();
      Entry entry{.path = path.string(), .stamp = stamp_of(path.string()), .output_name = {}};
      const auto known = index_.entries.find(name);
      const bool same = known != index_.entries.end() && entry.stamp && known->second.stamp == entry.stamp;
      entry.output_name = same ? known->second.output_name : output_name_of(entry.path);
      index.entries.emplace(name, std::move(entry));
    }
  }
  return index;
}

/// The names that `name` may mean: itself, else the names that end with it, else the names of files whose metadata has
/// it.
std::vector<std::string> AdapterDirectory::find(const std::string& name) const {
  const auto& entries = index().entries;
  if (entries.contains(name)) return {name};
  std::vector<std::string> by_end, by_metadata;
  for (const auto& [known, entry] : entries) {
    if (known.ends_with('/' + name)) by_end.push_back(known);
    if (!name.empty() && entry.output_name == name) by_metadata.push_back(known);
  }
  return by_end.empty() ? by_metadata : by_end;
}

std::string AdapterDirectory::file(const std::string& asked) const {
  if (path_.empty()) {
    throw Error(ErrorCode::kInvalidArgument, "no adapters are available: the server was started without --lora-dir",
                "loras");
  }
  const MutexLock lock(mutex_);
  const auto name = without_extension(asked);
  const auto found = find(name);
  if (found.size() == 1) return index_.entries.at(found[0]).path;
  if (!found.empty()) {
    throw Error(
        ErrorCode::kInvalidArgument,
        concat("the adapter ", quote_name(name),
               found[0].ends_with('/' + name) ? " is in several folders" : " is what several files call themselves",
               "; name one of them: ", join(found)),
        "loras");
  }
  std::vector<std::string> known;
  for (const auto& [other, entry] : index_.entries) known.push_back(other);
  const auto more = known.size() > kMaxNamesListed ? concat(" and ", known.size() - kMaxNamesListed, " more") : "";
  known.resize(std::min(known.size(), kMaxNamesListed));
  throw Error(ErrorCode::kInvalidArgument,
              concat("there is no adapter ", quote_name(asked), "; ",
                     known.empty() ? std::string("the folder has none") : concat("there are: ", join(known), more)),
              "loras");
}

}  // namespace easel
