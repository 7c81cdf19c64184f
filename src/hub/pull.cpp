#include "hub/pull.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/config.h"
#include "core/text.h"
#include "easel/error.h"
#include "hub/download.h"
#include "hub/plan.h"
#include "hub/recipes.h"
#include "hub/reference.h"
#include "hub/staging.h"

namespace easel::hub {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPickleExtensions[] = {".bin", ".ckpt", ".pt", ".pth"};
constexpr std::uint64_t kSpareBytes = 64 << 20;  // left free on the disk

/// The file that says where a model came from: inside its folder, or next to its file.
std::string record_path(const std::string& target) {
  const fs::path path(target);
  if (fs::is_directory(fs::symlink_status(path))) return target + "/.easel-pull.json";
  return (path.parent_path() / concat(".", path.filename().string(), ".easel-pull.json")).string();
}

/// A field of the record; none where there is no record.
std::optional<std::string> recorded(const std::string& target, const char* field) {
  try {
    return Config::read_file(record_path(target), record_path(target)).get<std::string>(field);
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

void write_record(const std::string& path, const std::string& what, const PullPlan& plan) {
  const nlohmann::json record = {{"source", what}, {"version", plan.version}, {"licence", plan.licence}};
  write_text(path, record.dump(2));
}

/// Distinguishes pulls of one version that need different files.
std::string staged_version(const PullPlan& plan) {
  auto version = plan.version;
  for (const auto& file : plan.files) version += "\n" + file.name;
  return version;
}

bool is_pickle(const std::string& path) {
  const auto lower = lower_case(path);
  return std::any_of(std::begin(kPickleExtensions), std::end(kPickleExtensions),
                     [&](const char* extension) { return lower.ends_with(extension); });
}

std::uint64_t total_size(const PullPlan& plan) {
  std::uint64_t total = 0;
  for (const auto& file : plan.files) total += *file.size;
  return total;
}

void check_space(const PullPlan& plan, const std::string& folder) {
  std::uint64_t missing = 0;
  for (const auto& file : plan.files) missing += *file.size - std::min(*file.size, bytes_on_disk(file));
  std::error_code unknown;
  const auto space = fs::space(folder, unknown);
  if (unknown || missing + kSpareBytes <= space.available) return;
  throw Error(ErrorCode::kResourceExhausted,
              concat(plan.target, " needs ", missing >> 20, " MiB more, but the disk of ", folder, " has only ",
                     space.available >> 20, " MiB left"));
}

void fetch_all(const HttpClient& client, const PullPlan& plan, const PullOptions& options) {
  PullProgress progress{.total = total_size(plan)};
  for (const auto& file : plan.files) {
    download(client, file, [&](std::int64_t bytes) {
      progress.done += static_cast<std::uint64_t>(bytes);
      if (options.on_progress) options.on_progress(progress);
    });
  }
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
  Staging staging(options.folder, plan.target);
  PulledModel model{.path = staging.target_path(), .licence = plan.licence, .bytes = total_size(plan)};
  model.has_pickles =
      std::any_of(plan.files.begin(), plan.files.end(), [](const Download& file) { return is_pickle(file.path); });
  if (staging.target_exists()) {
    const auto version = recorded(staging.target_path(), "version");
    if (version == plan.version) {
      model.was_there = true;
      return model;
    }
    throw Error(ErrorCode::kInvalidArgument,
                concat(staging.target_path(),
                       version ? concat(" is another version (", *version, "); remove it with ", "`easel rm` first")
                               : " exists already, and easel did not pull it"));
  }
  staging.keep_only(staged_version(plan));
  for (auto& file : plan.files) file.path = staging.file(file.path);
  check_space(plan, options.folder);
  fetch_all(client, plan, options);
  if (!plan.manifest.empty()) write_text(staging.file("easel.json"), plan.manifest);
  if (plan.single_file.empty()) {
    write_record(staging.file(".easel-pull.json"), what, plan);
  } else {
    write_record(record_path(staging.target_path()), what, plan);
  }
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
  return recorded(path, "source").value_or("");
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

void remove_pulled(const std::string& folder, const std::string& name) {
  const auto target = concat(folder, "/", name);
  if (!is_safe_path(name) || !fs::exists(fs::symlink_status(target))) {
    throw Error(ErrorCode::kNotFound, concat("there is no model ", name, " in ", folder));
  }
  const auto record = record_path(target);
  if (!recorded(target, "version")) {
    throw Error(ErrorCode::kInvalidArgument, concat(target, " was not pulled by easel, which therefore keeps it"));
  }
  fs::remove_all(target);
  fs::remove(record);
}

}  // namespace easel::hub
