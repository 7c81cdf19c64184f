#include "hub/plan.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/text.h"
#include "easel/error.h"
#include "hub/file_choice.h"
#include "hub/recipes.h"
#include "hub/reference.h"
#include "hub/repository.h"

namespace easel::hub {
namespace {

constexpr const char* kFileExtensions[] = {".safetensors", ".gguf", ".ckpt", ".pt", ".bin"};

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

std::vector<RemoteFile> files_to_fetch(const Snapshot& snapshot, const Reference& reference, bool prefer_half,
                                       const std::vector<std::string>& without) {
  if (reference.file.empty()) {
    try {
      return choose_model_files(snapshot.files, reference.folder, prefer_half, without);
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

/// Adds what easel needs of a snapshot.
/// @param part  says where the files go, and what is left out
void add_files(const Snapshot& snapshot, const Reference& reference, const PullOptions& options, const RecipePart& part,
               PullPlan& plan) {
  const bool single = !reference.file.empty();
  const auto prefix = reference.folder.empty() ? std::size_t{0} : reference.folder.size() + 1;
  for (const auto& file : files_to_fetch(snapshot, reference, options.prefer_half, part.without)) {
    const auto path = single ? last_part(reference.file) : file.path.substr(prefix);
    plan.files.push_back({.url = file_url(options.endpoint, snapshot, file),
                          .token = options.endpoint.token,
                          .path = part.folder.empty() ? path : concat(part.folder, "/", path),
                          .name = file.path,
                          .size = file.size,
                          .sha256 = file.sha256,
                          .git_id = file.git_id});
  }
}

PullPlan plan_repository(const HttpClient& client, const std::string& what, const PullOptions& options) {
  const auto reference = parse_reference(what);
  const auto snapshot = read_snapshot(client, options.endpoint, reference);
  const bool single = !reference.file.empty();
  PullPlan plan{.target = single ? last_part(reference.file) : reference.name(),
                .version = concat(reference.repository, "@", snapshot.commit),
                .licence = snapshot.licence};
  if (single) plan.single_file = plan.target;
  add_files(snapshot, reference, options, {.source = what}, plan);
  return plan;
}

/// @throws Error(kNotFound)  no recipe has this name
PullPlan plan_recipe(const HttpClient& client, const std::string& name, const PullOptions& options) {
  const auto* recipe = find_recipe(name);
  if (recipe == nullptr) {
    throw Error(ErrorCode::kNotFound, concat("there is no recipe called ", quote(escape_control_characters(name)),
                                             "; `easel models --available` lists them, and ORG/NAME is a repository"));
  }
  PullPlan plan{.target = recipe->folder(), .version = concat("recipe ", name)};
  for (const auto& part : recipe->parts) {
    const auto reference = parse_reference(part.source);
    const auto snapshot = read_snapshot(client, options.endpoint, reference);
    plan.version += concat(" ", reference.repository, "@", snapshot.commit);
    if (part.folder.empty() && plan.licence.empty()) plan.licence = snapshot.licence;
    add_files(snapshot, reference, options, part, plan);
  }
  if (plan.licence.empty()) plan.licence = recipe->licence;
  auto manifest = recipe->manifest.empty() ? nlohmann::json::object() : nlohmann::json::parse(recipe->manifest);
  manifest["name"] = recipe->title;
  manifest["licence"] = plan.licence;
  plan.manifest = manifest.dump(2);
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
  // Without a checksum, the size and the ETag tell whether a partial file is of the version that the server has now.
  const auto etag = response.header("etag");
  const auto version = options.sha256.empty() ? concat(address, " ", *size, " ", escape_control_characters(etag))
                                              : concat(address, " ", options.sha256);
  PullPlan plan{.target = name, .version = version, .single_file = name};
  plan.files.push_back({.url = address,
                        .token = token,
                        .path = name,
                        .name = name,
                        .size = size,
                        .sha256 = options.sha256,
                        .etag = options.sha256.empty() ? etag : ""});
  return plan;
}

}  // namespace

PullPlan make_plan(const HttpClient& client, const std::string& what, const PullOptions& options) {
  if (what.starts_with("https://") || what.starts_with("http://")) return plan_address(client, what, options);
  if (what.find_first_of("/:@") == std::string::npos || find_recipe(what) != nullptr) {
    return plan_recipe(client, what, options);
  }
  return plan_repository(client, what, options);
}

}  // namespace easel::hub
