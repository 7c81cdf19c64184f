#include "hub/pull.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "core/config.h"
#include "core/text.h"
#include "easel/error.h"
#include "hub/download.h"
#include "hub/file_choice.h"
#include "hub/reference.h"
#include "hub/staging.h"

namespace easel::hub {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kSpareBytes = 64 << 20;  // left free on the disk
constexpr const char* kFileExtensions[] = {".safetensors", ".ckpt", ".pt", ".bin"};

/// What is to be fetched, and where it goes.
struct PullPlan {
  std::string target;   ///< name in the models folder
  std::string version;  ///< staged files of another version are discarded
  std::string licence = {};
  std::string single_file = {};      ///< the only file's name; empty: the target is a folder
  std::vector<Download> files = {};  ///< their paths are relative until they are staged
};

/// The file that says where a model came from: inside its folder, or next to its file.
std::string record_path(const std::string& target) {
  const fs::path path(target);
  if (fs::is_directory(fs::symlink_status(path))) return target + "/.easel-pull.json";
  return (path.parent_path() / concat(".", path.filename().string(), ".easel-pull.json")).string();
}

std::optional<std::string> recorded_version(const std::string& target) {
  try {
    return Config::read_file(record_path(target), record_path(target)).get<std::string>("version");
  } catch (const Error&) {
    return std::nullopt;
  }
}

void write_record(const std::string& path, const std::string& what, const PullPlan& plan) {
  const nlohmann::json record = {{"source", what}, {"version", plan.version}, {"licence", plan.licence}};
  std::ofstream file(path);
  file << record.dump(2) << '\n';
  file.close();
  if (!file) throw Error(ErrorCode::kUnavailable, concat("cannot write ", path));
}

bool has_model_extension(const std::string& name) {
  return std::any_of(std::begin(kFileExtensions), std::end(kFileExtensions),
                     [&](const char* extension) { return name.ends_with(extension); });
}

void check_extension(const std::string& name) {
  if (has_model_extension(name)) return;
  throw Error(ErrorCode::kInvalidArgument,
              concat(quote(escape_control_characters(name)), " is not a file of weights; expected one that ends with ",
                     join({std::begin(kFileExtensions), std::end(kFileExtensions)})));
}

std::string last_part(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

std::vector<RemoteFile> files_to_fetch(const Snapshot& snapshot, const Reference& reference, bool prefer_half) {
  if (reference.file.empty()) {
    try {
      return choose_model_files(snapshot.files, reference.folder, prefer_half);
    } catch (const Error& e) {
      throw Error(e.code(), concat(reference.repository, ": ", e.what()));
    }
  }
  check_extension(reference.file);
  const auto path = reference.folder.empty() ? reference.file : concat(reference.folder, "/", reference.file);
  for (const auto& file : snapshot.files) {
    if (file.path == path) return {file};
  }
  throw Error(ErrorCode::kNotFound, concat(reference.repository, " has no file ", path));
}

PullPlan plan_repository(const HttpClient& client, const std::string& what, const PullOptions& options) {
  const auto reference = parse_reference(what);
  const auto snapshot = read_snapshot(client, options.endpoint, reference);
  const bool single = !reference.file.empty();
  PullPlan plan{.target = single ? last_part(reference.file) : reference.name(),
                .version = concat(reference.repository, "@", snapshot.commit),
                .licence = snapshot.licence};
  if (single) plan.single_file = plan.target;
  const auto prefix = reference.folder.empty() ? std::size_t{0} : reference.folder.size() + 1;
  for (const auto& file : files_to_fetch(snapshot, reference, options.prefer_half)) {
    plan.files.push_back({.url = file_url(options.endpoint, snapshot, file),
                          .token = options.endpoint.token,
                          .path = single ? plan.target : file.path.substr(prefix),
                          .name = file.path,
                          .size = file.size,
                          .sha256 = file.sha256,
                          .git_id = file.git_id});
  }
  return plan;
}

bool is_local(const std::string& address) {
  return address.starts_with("http://127.0.0.1:") || address.starts_with("http://localhost:") ||
         address.starts_with("http://[::1]:");
}

/// The name that a server suggests for a file, reduced to its last part; else the last part of the address.
std::string file_name(const std::string& address, const std::string& disposition) {
  auto name = last_part(address.substr(0, address.find_first_of("?#")));
  if (const auto at = disposition.find("filename="); at != std::string::npos) {
    auto suggested = disposition.substr(at + 9);
    if (suggested.starts_with('"')) {
      suggested = suggested.substr(1, suggested.find('"', 1) - 1);
    } else {
      suggested = suggested.substr(0, suggested.find(';'));
    }
    std::replace(suggested.begin(), suggested.end(), '\\', '/');
    name = last_part(suggested);
  }
  return name;
}

/// Ends a transfer when the headers are there.
struct HeadersSeen {
  HttpResponse response;
};

class HeadersOnly : public BodySink {
 public:
  void begin(const HttpResponse& response) override { throw HeadersSeen{response}; }
  void write(std::string_view) override {}
};

HttpResponse read_headers(const HttpClient& client, const HttpRequest& request) {
  HttpResponse response;
  const auto attempt = [&] {
    HeadersOnly sink;
    try {
      response = client.get(request, sink);
    } catch (const HeadersSeen& seen) {
      response = seen.response;
    }
  };
  client.with_retries(request.url, attempt, [] { return std::uint64_t{0}; });
  return response;
}

PullPlan plan_address(const HttpClient& client, const std::string& address, const PullOptions& options) {
  if (!address.starts_with("https://") && !is_local(address)) {
    throw Error(ErrorCode::kInvalidArgument, concat(address, " is not encrypted; easel takes files by https only"));
  }
  const auto token = address.starts_with("https://civitai.com/") ? options.civitai_token : "";
  const auto response = read_headers(client, {.url = address, .token = token});
  if (response.status != 200) {
    throw Error(response.status == 404 ? ErrorCode::kNotFound : ErrorCode::kUnavailable,
                concat("the server responds with status ", response.status, " for ", address));
  }
  const auto name = file_name(address, response.header("content-disposition"));
  check_extension(name);
  if (!is_safe_path(name)) {
    throw Error(ErrorCode::kInvalidArgument,
                concat("the server names the file ", quote(escape_control_characters(name)), ", which easel refuses"));
  }
  const auto size = response.content_length();
  if (!size) throw Error(ErrorCode::kUnavailable, concat("the server does not say how long ", name, " is"));
  PullPlan plan{.target = name, .version = concat(address, " ", options.sha256), .single_file = name};
  plan.files.push_back(
      {.url = address, .token = token, .path = name, .name = name, .size = size, .sha256 = options.sha256});
  return plan;
}

/// Distinguishes pulls of one version that need different files.
std::string staged_version(const PullPlan& plan) {
  auto version = plan.version;
  for (const auto& file : plan.files) version += "\n" + file.name;
  return version;
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

}  // namespace

PulledModel pull(const std::string& what, const PullOptions& options) {
  const HttpClient client(options.policy);
  const bool by_address = what.starts_with("https://") || what.starts_with("http://");
  auto plan = by_address ? plan_address(client, what, options) : plan_repository(client, what, options);
  Staging staging(options.folder, plan.target);
  PulledModel model{.path = staging.target_path(), .licence = plan.licence, .bytes = total_size(plan)};
  model.has_pickles = std::any_of(plan.files.begin(), plan.files.end(), [](const Download& file) {
    return file.path.ends_with(".bin") || file.path.ends_with(".ckpt");
  });
  if (staging.target_exists()) {
    const auto version = recorded_version(staging.target_path());
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
  if (plan.single_file.empty()) {
    write_record(staging.file(".easel-pull.json"), what, plan);
  } else {
    write_record(record_path(staging.target_path()), what, plan);
  }
  staging.publish(plan.single_file);
  return model;
}

void remove_pulled(const std::string& folder, const std::string& name) {
  const auto target = concat(folder, "/", name);
  if (!is_safe_path(name) || !fs::exists(fs::symlink_status(target))) {
    throw Error(ErrorCode::kNotFound, concat("there is no model ", name, " in ", folder));
  }
  const auto record = record_path(target);
  if (!recorded_version(target)) {
    throw Error(ErrorCode::kInvalidArgument, concat(target, " was not pulled by easel, which therefore keeps it"));
  }
  fs::remove_all(target);
  fs::remove(record);
}

}  // namespace easel::hub
