#include "hub/pull.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "core/config.h"
#include "core/text.h"
#include "easel/error.h"
#include "hub/download.h"
#include "hub/model_index.h"
#include "hub/plan.h"
#include "hub/recipes.h"
#include "hub/reference.h"
#include "hub/staging.h"

namespace easel::hub {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPickleExtensions[] = {".bin", ".ckpt", ".pt", ".pth"};
constexpr const char* kRecord = ".easel-pull.json";
constexpr std::uint64_t kSpareBytes = 64 << 20;  // left free on the disk

/// The file that says where a model came from: inside its folder, or next to its file.
std::string record_path(const std::string& target) {
  const fs::path path(target);
  if (fs::is_directory(fs::symlink_status(path))) return concat(target, "/", kRecord);
  return (path.parent_path() / concat(".", path.filename().string(), kRecord)).string();
}

/// The record of what easel pulled.
struct Record {
  std::string source, version;
};

std::int64_t modification_time(const std::string& path) {
  struct stat status;
  return lstat(path.c_str(), &status) == 0 ? status.st_mtim.tv_sec : -1;
}

/// The record of a target; none where easel did not pull it, or where something else has taken the place of a file.
std::optional<Record> read_record(const std::string& target) {
  const auto path = record_path(target);
  try {
    auto record = Config::read_file(path, path);
    const auto modified = record.find<std::int64_t>("modified");
    if (modified && *modified != modification_time(target)) return std::nullopt;
    return Record{.source = record.get<std::string>("source"), .version = record.get<std::string>("version")};
  } catch (const Error&) {
    return std::nullopt;
  }
}

void write_text(const std::string& path, const std::string& text) {
  fs::remove(path);  // a symbolic link must not be followed
  std::ofstream file(path);
  file << text << '\n';
  file.close();
  if (!file) throw Error(ErrorCode::kUnavailable, concat("cannot write ", path));
}

/// Writes the record into a staged folder, or next to where a staged file will be.
void write_record(const Staging& staging, const std::string& what, const PullPlan& plan) {
  nlohmann::json record = {{"source", without_secrets(what)}, {"version", plan.version}, {"licence", plan.licence}};
  const bool is_folder = plan.single_file.empty();
  if (!is_folder) record["modified"] = modification_time(staging.file(plan.single_file));
  write_text(is_folder ? staging.file(kRecord) : record_path(staging.target_path()),
             record.dump(2, ' ', /*ensure_ascii=*/false, nlohmann::json::error_handler_t::replace));
}

/// What tells whether a staged file of this path has the contents that are wanted now.
FileVersions file_versions(const PullPlan& plan) {
  FileVersions versions;
  for (const auto& file : plan.files) {
    const auto& checksum = file.sha256.empty() ? file.git_id : file.sha256;
    versions[file.path] = checksum.empty() ? plan.version : checksum;
  }
  return versions;
}

bool is_pickle(const std::string& path) {
  const auto lower = lower_case(path);
  return std::any_of(std::begin(kPickleExtensions), std::end(kPickleExtensions),
                     [&](const char* extension) { return lower.ends_with(extension); });
}

/// Sizes are what a hub says.
std::uint64_t saturated_sum(std::uint64_t a, std::uint64_t b) {
  constexpr auto kMax = std::numeric_limits<std::uint64_t>::max();
  return a > kMax - b ? kMax : a + b;
}

std::uint64_t total_size(const PullPlan& plan) {
  std::uint64_t total = 0;
  for (const auto& file : plan.files) total = saturated_sum(total, *file.size);
  return total;
}

void check_space(const PullPlan& plan, const std::string& folder) {
  std::uint64_t missing = 0;
  for (const auto& file : plan.files) {
    missing = saturated_sum(missing, *file.size - std::min(*file.size, bytes_on_disk(file)));
  }
  std::error_code unknown;
  const auto space = fs::space(folder, unknown);
  if (unknown || saturated_sum(missing, kSpareBytes) <= space.available) return;
  throw Error(ErrorCode::kResourceExhausted,
              concat(plan.target, " needs ", missing >> 20, " MiB more, but the disk of ", folder, " has only ",
                     space.available >> 20, " MiB left"));
}

bool is_shard_index(const std::string& path) {
  return fs::path(path).filename().string().find(".index.") != std::string::npos && path.ends_with(".json");
}

/// The names of the files that the plan puts into the folder of `file`.
std::set<std::string> names_next_to(const Download& file, const PullPlan& plan) {
  std::set<std::string> names;
  for (const auto& other : plan.files) {
    const fs::path path(other.path);
    if (path.parent_path() == fs::path(file.path).parent_path()) names.insert(path.filename().string());
  }
  return names;
}

/// The indexes of shards come first, because one that is of no use ends the pull.
void fetch_all(const HttpClient& client, const PullPlan& plan, const PullOptions& options) {
  PullProgress progress{.total = total_size(plan)};
  const auto fetch = [&](const Download& file) {
    download(client, file, [&](std::int64_t bytes) {
      progress.done += static_cast<std::uint64_t>(bytes);
      if (options.on_progress) options.on_progress(progress);
    });
  };
  for (const auto& file : plan.files) {
    if (!is_shard_index(file.path)) continue;
    fetch(file);
    check_shard_index(file.path, file.name, names_next_to(file, plan));
  }
  for (const auto& file : plan.files) {
    if (!is_shard_index(file.path)) fetch(file);
  }
}

/// The name of a pulled model in `folder`, from that name or from what it was pulled as.
std::string pulled_name(const std::string& folder, std::string given) {
  while (given.ends_with('/')) given.pop_back();
  const auto name = target_name(given);
  const bool is_there = is_safe_path(given) && fs::exists(fs::symlink_status(concat(folder, "/", given)));
  if (is_there || name.empty()) return given;
  const auto record = read_record(concat(folder, "/", name));
  return record && is_same_model(given, record->source) ? name : given;
}

/// The reference that a page of the hub stands for, or `what` itself.
std::string without_page(const std::string& what, const PullOptions& options) {
  auto reference = reference_of_page(what, options.endpoint.url);
  return reference.empty() ? what : reference;
}

}  // namespace

PulledModel pull(const std::string& given, const PullOptions& options) {
  const HttpClient client(options.policy);
  const auto what = without_page(given, options);
  prepare_models_folder(options.folder);
  auto plan = make_plan(client, what, options);
  Staging staging(options.folder, plan.target, options.policy.stop);
  PulledModel model{.path = staging.target_path(), .licence = plan.licence, .bytes = total_size(plan)};
  model.has_pickles =
      std::any_of(plan.files.begin(), plan.files.end(), [](const Download& file) { return is_pickle(file.path); });
  if (staging.target_exists()) {
    const auto record = read_record(staging.target_path());
    if (record && record->version == plan.version) {
      model.was_there = true;
      return model;
    }
    throw Error(ErrorCode::kInvalidArgument,
                concat(staging.target_path(),
                       record ? concat(" is another version (", record->version, "); remove it with `easel rm` first")
                              : " exists already, and easel did not pull it"));
  }
  staging.keep_only(file_versions(plan));
  for (auto& file : plan.files) file.path = staging.file(file.path);
  check_space(plan, options.folder);
  fetch_all(client, plan, options);
  if (!plan.manifest.empty()) write_text(staging.file("easel.json"), plan.manifest);
  write_record(staging, what, plan);
  staging.publish(plan.single_file);
  return model;
}

std::string target_name(const std::string& what) {
  if (const auto* recipe = find_recipe(what)) return recipe->folder();
  try {
    const auto reference = parse_reference(what);
    return reference.file.empty() ? reference.name() : reference.file.substr(reference.file.rfind('/') + 1);
  } catch (const Error&) {
    return "";
  }
}

std::vector<PlannedFile> planned_files(const std::string& what, const PullOptions& options) {
  const HttpClient client(options.policy);
  std::vector<PlannedFile> files;
  for (const auto& file : make_plan(client, without_page(what, options), options).files)
    files.push_back({file.name, *file.size});
  return files;
}

std::string pulled_source(const std::string& path) {
  const auto record = read_record(path);
  return record ? record->source : "";
}

bool is_same_model(const std::string& name, const std::string& other) {
  const auto is_reference = [](const std::string& text) {
    return find_recipe(text) == nullptr && !target_name(text).empty();
  };
  if (!is_reference(name) || !is_reference(other)) return name == other;
  const auto a = parse_reference(name), b = parse_reference(other);
  const bool same_revision = a.revision == b.revision || a.revision == "main" || b.revision == "main";
  return a.repository == b.repository && a.folder == b.folder && a.file == b.file && same_revision;
}

std::string check_removable(const std::string& folder, const std::string& given) {
  const auto name = pulled_name(folder, given);
  const auto target = concat(folder, "/", name);
  if (!is_safe_path(name) || !fs::exists(fs::symlink_status(target))) {
    throw Error(ErrorCode::kNotFound, concat("there is no model ", escape_control_characters(given), " in ", folder));
  }
  if (!read_record(target)) {
    throw Error(ErrorCode::kInvalidArgument, concat(target, " was not pulled by easel, which therefore keeps it"));
  }
  prepare_models_folder(fs::path(target).parent_path().string());
  return target;
}

std::string remove_pulled(const std::string& folder, const std::string& given) {
  const auto target = check_removable(folder, given);
  const auto record = record_path(target);
  const fs::path path(target);
  Staging(path.parent_path().string(), path.filename().string()).remove_target();
  fs::remove(record);
  return target;
}

}  // namespace easel::hub
