#include "checkpoints/model_search.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <system_error>

#include "checkpoints/single_file_kind.h"
#include "core/text.h"
#include "easel/error.h"
#include "weights/format/file_names.h"
#include "weights/stores/safetensors.h"

namespace easel {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxDepth = 8;
constexpr char kHubPrefix[] = "models--";

bool is_there(const fs::path& path) {
  std::error_code unknown;
  return fs::exists(path, unknown) || unknown;
}

/// What a safetensors file holds; none if it cannot be read, so that opening it reports why.
std::string reason_against_file(const std::string& path) {
  try {
    const auto kind = find_single_file_kind(NameSet(SafetensorsFile(path)));
    return kind.use == SingleFileKind::Use::kComponentOnly ? kind.what : "";
  } catch (const Error&) {
    return "";
  }
}

class Search {
 public:
  explicit Search(fs::path root) : root_(std::move(root)) {}

  ModelSearch run() {
    visit(root_, 0);
    const auto by_path = [](const auto& a, const auto& b) { return a.path < b.path; };
    std::ranges::sort(result_.found, by_path);
    std::ranges::sort(result_.passed_over, by_path);
    return std::move(result_);
  }

 private:
  void visit(const fs::path& folder, int depth) {
    std::error_code error;
    const auto real = fs::canonical(folder, error);
    if (error || !visited_.insert(real.string()).second) return;
    for (const auto& entry : fs::directory_iterator(folder, error)) {
      const auto& path = entry.path();
      if (path.filename().string().starts_with('.')) continue;
      std::error_code unknown;
      if (entry.is_directory(unknown)) {
        visit_folder(path, depth);
      } else {
        visit_file(path);
      }
    }
  }

  void visit_folder(const fs::path& path, int depth) {
    if (const auto name = hub_name(path.string()); !name.empty()) {
      const auto snapshot = hub_snapshot(path.string());
      if (is_there(fs::path(snapshot) / "model_index.json")) return add(name, snapshot);
      return pass_over(path, "is a folder of the hub's cache without a complete checkpoint (no model_index.json)");
    }
    if (is_there(path / "model_index.json")) return add(relative(path), path.string());
    if (depth + 1 < kMaxDepth) return visit(path, depth + 1);
    pass_over(path, concat("is more than ", kMaxDepth, " folders deep and is not searched"));
  }

  void visit_file(const fs::path& path) {
    const auto name = path.string();
    if (is_safetensors_name(name)) {
      if (auto reason = reason_against_file(name); !reason.empty()) return pass_over(path, reason);
      return add(relative(fs::path(path).replace_extension()), name);
    }
    if (!is_pickle_name(name)) return;
    // A pickle is reported, unless it was converted.
    if (!is_there(fs::path(path).replace_extension(".safetensors"))) {
      pass_over(path, concat("is a pickle; `easel convert ", name, "` makes a .safetensors file of a checkpoint"));
    }
  }

  std::string relative(const fs::path& path) const { return path.lexically_relative(root_).generic_string(); }
  void add(const std::string& name, const std::string& path) { result_.found.push_back({name, path}); }
  void pass_over(const fs::path& path, const std::string& reason) {
    result_.passed_over.push_back({path.string(), reason});
  }

  fs::path root_;
  std::set<std::string> visited_;  // real paths
  ModelSearch result_;
};

}  // namespace

ModelSearch search_models(const std::string& folder) {
  if (!fs::is_directory(folder)) {
    throw Error(ErrorCode::kNotFound, concat("models folder ", folder, " does not exist"));
  }
  return Search(folder).run();
}

std::string hub_snapshot(const std::string& path) {
  const auto snapshots = fs::path(path) / "snapshots";
  std::error_code unknown;
  if (!fs::is_directory(snapshots, unknown)) return path;
  std::string revision;
  if (std::ifstream main(fs::path(path) / "refs" / "main"); std::getline(main, revision)) {
    const bool plain = revision.find('/') == std::string::npos && !revision.starts_with('.');
    if (plain && fs::is_directory(snapshots / revision, unknown)) return (snapshots / revision).string();
  }
  fs::path latest;
  fs::file_time_type latest_time{};
  for (const auto& entry : fs::directory_iterator(snapshots, unknown)) {
    const auto time = fs::last_write_time(entry.path(), unknown);
    if (latest.empty() || time > latest_time || (time == latest_time && entry.path() > latest)) {
      latest = entry.path();
      latest_time = time;
    }
  }
  return latest.empty() ? path : latest.string();
}

bool is_hub_cache(const std::string& path) {
  std::error_code unknown;
  return std::ranges::any_of(fs::directory_iterator(path, unknown), [](const fs::directory_entry& entry) {
    std::error_code error;
    return entry.path().filename().string().starts_with(kHubPrefix) && entry.is_directory(error);
  });
}

std::string hub_name(const std::string& path) {
  auto folder = fs::path(path).lexically_normal();
  if (!folder.has_filename()) folder = folder.parent_path();
  if (folder.parent_path().filename() == "snapshots") folder = folder.parent_path().parent_path();
  auto name = folder.filename().string();
  if (!name.starts_with(kHubPrefix)) return "";
  name.erase(0, sizeof kHubPrefix - 1);
  for (auto at = name.find("--"); at != std::string::npos; at = name.find("--", at)) name.replace(at, 2, "/");
  return name;
}

}  // namespace easel
