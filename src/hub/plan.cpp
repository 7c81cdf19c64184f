#include "hub/plan.h"

#include <algorithm>
#include <exception>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/text.h"
#include "easel/error.h"
#include "hub/file_choice.h"
#include "hub/model_index.h"
#include "hub/recipes.h"
#include "hub/reference.h"
#include "hub/repository.h"

namespace easel::hub {
namespace {

constexpr const char* kFileExtensions[] = {".safetensors", ".sft", ".gguf", ".ckpt", ".pt", ".pth", ".bin"};

bool has_model_extension(const std::string& name) {
  const auto lower = lower_case(name);
  return std::any_of(std::begin(kFileExtensions), std::end(kFileExtensions),
                     [&](const char* extension) { return lower.ends_with(extension); });
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

/// @param copy  the path where the model's index may be already
std::vector<RemoteFile> model_files(const HttpClient& client, const Snapshot& snapshot, const Reference& reference,
                                    const PullOptions& options, const std::string& copy,
                                    const std::vector<std::string>& without) {
  try {
    const auto& file = find_model_index(snapshot.files, reference.folder);
    const auto index = read_model_index(client, options.endpoint, snapshot, file, copy);
    if (options.check_class) options.check_class(index.class_name, file.path);
    return choose_model_files(snapshot.files, {.folder = reference.folder,
                                               .components = index.components,
                                               .half_variant = options.half_variant,
                                               .without = without});
  } catch (const Error& e) {
    const std::string_view what = e.what();
    throw Error(e.code(),
                what.starts_with(reference.repository) ? std::string(what) : concat(reference.repository, ": ", what));
  }
}

std::vector<RemoteFile> single_file(const Snapshot& snapshot, const Reference& reference) {
  check_extension(reference.file);
  const auto path = reference.folder.empty() ? reference.file : concat(reference.folder, "/", reference.file);
  for (const auto& file : snapshot.files) {
    if (file.path != path) continue;
    if (file.size == 0) throw Error(ErrorCode::kCorruptData, concat(path, " is empty in ", reference.repository));
    return {file};
  }
  throw Error(ErrorCode::kNotFound, concat(reference.repository, " has no file ", path));
}

/// Adds what easel needs of a snapshot.
/// @param part  says where the files go, and what is left out
void add_files(const HttpClient& client, const Snapshot& snapshot, const Reference& reference,
               const PullOptions& options, const RecipePart& part, PullPlan& plan) {
  const bool single = !reference.file.empty();
  const auto prefix = reference.folder.empty() ? std::size_t{0} : reference.folder.size() + 1;
  const auto copy = concat(options.folder, "/", plan.target, "/", part.folder, "/model_index.json");
  const auto files =
      single ? single_file(snapshot, reference) : model_files(client, snapshot, reference, options, copy, part.without);
  for (const auto& file : files) {
    const auto path = single ? last_part(reference.file) : file.path.substr(prefix);
    plan.files.push_back({.url = file_url(options.endpoint, snapshot, file),
                          .token = options.endpoint.token,
                          .path = part.folder.empty() ? path : concat(part.folder, "/", path),
                          .name = file.path,
                          .size = file.size,
                          .sha256 = file.sha256,
                          .git_id = file.git_id,
                          .terms = page_of(options.endpoint, snapshot.repository)});
  }
}

/// Checks --sha256 of a file in a repository, which is not needed there, but must not be passed over.
void check_given_sha256(const std::string& sha256, bool single, Download& file) {
  if (sha256.empty()) return;
  if (!single) throw Error(ErrorCode::kInvalidArgument, "--sha256 is for a single file, and this is a whole model");
  if (file.sha256.empty()) file.sha256 = sha256;
  if (file.sha256 != sha256) {
    throw Error(ErrorCode::kCorruptData,
                concat(file.name, " has the checksum ", file.sha256, " in its repository, not that of --sha256"));
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
  add_files(client, snapshot, reference, options, {.source = what}, plan);
  check_given_sha256(options.sha256, single, plan.files.front());
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
    add_files(client, snapshot, reference, options, part, plan);
  }
  check_given_sha256(options.sha256, /*single=*/false, plan.files.front());
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

/// The file name in a header Content-Disposition, as RFC 6266 prefers it; empty where there is none.
std::string suggested_name(const std::string& disposition) {
  const auto lower = lower_case(disposition);
  if (const auto at = lower.find("filename*="); at != std::string::npos) {
    const auto value = disposition.substr(at + 10, disposition.find(';', at) - at - 10);
    return unescape(value.substr(value.rfind('\'') + 1));  // CHARSET'LANGUAGE'NAME
  }
  const auto at = lower.find("filename=");
  if (at == std::string::npos) return "";
  const auto value = disposition.substr(at + 9);
  return value.starts_with('"') ? value.substr(1, value.find('"', 1) - 1) : value.substr(0, value.find(';'));
}

/// The name that a server suggests for a file, reduced to its last part; else the last part of the address.
std::string file_name(const std::string& address, const std::string& disposition) {
  auto suggested = suggested_name(disposition);
  if (suggested.empty()) return unescape(last_part(address.substr(0, address.find_first_of("?#"))));
  std::replace(suggested.begin(), suggested.end(), '\\', '/');
  return last_part(suggested);
}

bool is_civitai(const std::string& address) {
  return address.starts_with("https://civitai.com/");
}

/// What may help where Civitai refuses a file, or sends a page on which to log in.
std::string civitai_hint(const std::string& address, const std::string& token) {
  if (!is_civitai(address)) return "";
  return token.empty() ? "; set CIVITAI_TOKEN to an API key of your account" : "; check CIVITAI_TOKEN";
}

/// Refuses a page that a server sends in place of a file.
void check_content_type(const HttpResponse& response, const std::string& public_address, const std::string& hint) {
  const auto type = lower_case(response.header("content-type"));
  for (const char* page : {"text/html", "application/xhtml", "application/json"}) {
    if (!type.starts_with(page)) continue;
    throw Error(ErrorCode::kInvalidArgument,
                concat(public_address, " leads to a page (", page, "), not to a file of weights; ",
                       "give the address that downloads the file", hint));
  }
}

void check_address_status(const HttpResponse& response, const std::string& public_address, const std::string& hint) {
  if (response.status == 200) return;
  const bool is_refused = response.status == 401 || response.status == 403;
  throw Error(
      response.status == 404 ? ErrorCode::kNotFound : ErrorCode::kUnavailable,
      concat("the server responds with status ", response.status, " for ", public_address, is_refused ? hint : ""));
}

/// What a server says of a file's version, in characters that a record can hold.
std::string printable(const std::string& text) {
  const bool is_plain = std::all_of(text.begin(), text.end(), [](unsigned char c) { return c >= 0x20 && c < 0x7f; });
  return is_plain ? text : escape_path(text);
}

/// Ends a transfer when the headers are there.
struct HeadersSeen : std::exception {
  explicit HeadersSeen(HttpResponse headers) : response(std::move(headers)) {}
  HttpResponse response;
};

class HeadersOnly : public BodySink {
 public:
  void begin(const HttpResponse& response) override { throw HeadersSeen(response); }
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
  client.with_retries(without_secrets(request.url), attempt, [] { return std::uint64_t{0}; });
  return response;
}

PullPlan plan_address(const HttpClient& client, const std::string& address, const PullOptions& options) {
  const auto public_address = without_secrets(address);
  if (!address.starts_with("https://") && !is_local(address)) {
    throw Error(ErrorCode::kInvalidArgument,
                concat(public_address, " is not encrypted; easel takes files by https only"));
  }
  const auto token = is_civitai(address) ? options.civitai_token : "";
  const auto response = read_headers(client, {.url = address, .token = token});
  check_address_status(response, public_address, civitai_hint(address, token));
  check_content_type(response, public_address, civitai_hint(address, token));
  const auto name = file_name(address, response.header("content-disposition"));
  check_extension(name);
  if (!is_safe_path(name)) {
    throw Error(ErrorCode::kInvalidArgument,
                concat("the server names the file ", quote(escape_control_characters(name)), ", which easel refuses"));
  }
  const auto size = response.content_length();
  if (!size) throw Error(ErrorCode::kUnavailable, concat("the server does not say how long ", name, " is"));
  if (*size == 0) throw Error(ErrorCode::kCorruptData, concat(name, " is empty on the server"));
  // Without a checksum, these tell whether a partial file is of the version that the server has now.
  const auto etag = response.header("etag"), last_modified = response.header("last-modified");
  const auto version = options.sha256.empty()
                           ? concat(public_address, " ", *size, " ", printable(concat(etag, last_modified)))
                           : concat(public_address, " ", options.sha256);
  PullPlan plan{.target = name, .version = version, .single_file = name};
  plan.files.push_back({.url = address,
                        .token = token,
                        .path = name,
                        .name = name,
                        .size = size,
                        .sha256 = options.sha256,
                        .etag = options.sha256.empty() ? etag : "",
                        .last_modified = options.sha256.empty() ? last_modified : ""});
  return plan;
}

}  // namespace

PullPlan make_plan(const HttpClient& client, const std::string& what, const PullOptions& options) {
  if (what.starts_with("https://") || what.starts_with("http://")) return plan_address(client, what, options);
  if (what.find('/') == std::string::npos || find_recipe(what) != nullptr) {
    return plan_recipe(client, what, options);
  }
  return plan_repository(client, what, options);
}

}  // namespace easel::hub
