#include "hub/repository.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/json_depth.h"
#include "core/text.h"
#include "easel/error.h"

namespace easel::hub {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxDocumentBytes = 16 << 20;
constexpr std::size_t kMaxFiles = 20'000;
constexpr int kMaxPages = 100;
constexpr std::size_t kMaxListedPart = 100;  // bytes of a name that is only looked at

Error corrupt(const std::string& repository, const std::string& what) {
  return {ErrorCode::kCorruptData, concat("the hub's description of ", repository, " ", what)};
}

json parse(const std::string& text, const std::string& repository) {
  const auto check_depth = [&](int depth, json::parse_event_t event, const json&) {
    if (exceeds_max_json_depth(depth, event)) throw corrupt(repository, "is nested too deeply");
    return true;
  };
  try {
    return json::parse(text, check_depth);
  } catch (const json::exception&) {
    throw corrupt(repository, "is not JSON");
  }
}

bool is_hex(const std::string& text, std::size_t digits) {
  return text.size() == digits && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

std::string string_field(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

std::string read_licence(const json& model) {
  const auto card = model.find("cardData");
  if (card == model.end() || !card->is_object()) return "";
  auto licence = string_field(*card, "license");
  if (const auto list = card->find("license"); list != card->end() && list->is_array()) {
    std::vector<std::string> names;
    for (const auto& each : *list) {
      if (each.is_string()) names.push_back(each.get<std::string>());
    }
    licence = join(names);
  }
  const auto name = string_field(*card, "license_name");
  return escape_control_characters(shortened(licence == "other" && !name.empty() ? name : licence));
}

/// A part of a path as is_safe_path() takes it, if it was harmless: hidden, too long, or with a colon.
std::string harmless_part(std::string part) {
  if (part.starts_with('.') && part != "." && part != "..") part.front() = '_';
  std::replace(part.begin() + std::min<std::ptrdiff_t>(2, std::ssize(part)), part.end(), ':', '_');  // not that of C:x
  return part.substr(0, kMaxListedPart);
}

/// Files that easel does not write and that no model needs: hidden files and those in hidden folders, such as git's own
/// and what file managers leave, and sample images with a prompt or a time as their name. Their paths do not climb out.
bool is_passed_over(const std::string& path) {
  if (is_safe_path(path)) return false;
  std::string harmless;
  for (std::size_t begin = 0; begin <= path.size();) {
    const auto end = std::min(path.find('/', begin), path.size());
    harmless += (begin > 0 ? "/" : "") + harmless_part(path.substr(begin, end - begin));
    begin = end + 1;
  }
  return is_safe_path(harmless);
}

RemoteFile read_file_entry(const json& entry, const std::string& repository) {
  RemoteFile file{.path = string_field(entry, "path")};
  if (!is_safe_path(file.path)) {
    throw corrupt(repository, concat("lists a file with the path ", quote(escape_control_characters(file.path)),
                                     ", which easel does not write"));
  }
  const auto* source = &entry;
  if (const auto lfs = entry.find("lfs"); lfs != entry.end() && lfs->is_object()) {
    file.sha256 = string_field(*lfs, "oid");
    source = &*lfs;
  } else {
    file.git_id = string_field(entry, "oid");
  }
  const auto size = source->find("size");
  const bool has_size = size != source->end() && size->is_number_unsigned();
  if (!has_size || !(is_hex(file.sha256, 64) || is_hex(file.git_id, 40))) {
    throw corrupt(repository, concat("gives no size or no checksum for ", file.path));
  }
  file.size = size->get<std::uint64_t>();
  return file;
}

/// The address of the next page from a header Link, which may name others, too (RFC 8288); empty on the last page.
std::string next_page(const std::string& link) {
  for (auto begin = link.find('<'); begin != std::string::npos; begin = link.find('<', begin + 1)) {
    const auto end = link.find('>', begin);
    if (end == std::string::npos) break;
    const auto parameters = lower_case(link.substr(end, link.find('<', end) - end));
    const bool is_next =
        parameters.find("rel=\"next\"") != std::string::npos || parameters.find("rel=next") != std::string::npos;
    if (is_next) return link.substr(begin + 1, end - begin - 1);
  }
  return "";
}

std::vector<RemoteFile> list_files(const HttpClient& client, const Endpoint& endpoint, const Reference& reference,
                                   const std::string& commit) {
  const auto& repository = reference.repository;
  std::vector<RemoteFile> files;
  auto url = concat(endpoint.url, "/api/models/", repository, "/tree/", commit,
                    reference.folder.empty() ? "" : concat("/", escape_path(reference.folder)), "?recursive=true");
  for (int page = 0; !url.empty(); ++page) {
    // The token belongs to the hub; a next page elsewhere would receive it.
    if (page == kMaxPages || !url.starts_with(endpoint.url + "/")) throw corrupt(repository, "has invalid pages");
    std::string body;
    const auto response =
        client.get_document({.url = url, .token = endpoint.token}, repository, kMaxDocumentBytes, body);
    check_hub_status(response, endpoint, repository);
    const auto entries = parse(body, repository);
    if (!entries.is_array()) throw corrupt(repository, "has no list of files");
    for (const auto& entry : entries) {
      if (!entry.is_object() || string_field(entry, "type") != "file") continue;
      if (is_passed_over(string_field(entry, "path"))) continue;
      files.push_back(read_file_entry(entry, repository));
      if (files.size() > kMaxFiles) throw corrupt(repository, concat("lists more than ", kMaxFiles, " files"));
    }
    const auto next = next_page(response.header("link"));
    url = next.empty() ? "" : absolute_address(url, next);
    if (url.empty() && !next.empty()) throw corrupt(repository, "has invalid pages");
  }
  return files;
}

void check_endpoint(const Endpoint& endpoint) {
  for (const std::string scheme : {"https://", "http://"}) {
    if (endpoint.url.starts_with(scheme) && endpoint.url.size() > scheme.size()) return;
  }
  throw Error(ErrorCode::kInvalidArgument,
              concat("HF_ENDPOINT is ", quote(escape_control_characters(without_secrets(endpoint.url))),
                     "; expected an address such as https://huggingface.co"));
}

}  // namespace

void check_hub_status(const HttpResponse& response, const Endpoint& endpoint, const std::string& repository) {
  if (response.status == 200) return;
  if (response.header("x-error-code") == "GatedRepo" || response.status == 403) {
    throw Error(ErrorCode::kUnavailable,
                concat(repository, " is only available to users who accept its terms: accept them at ",
                       page_of(endpoint, repository), " and set HF_TOKEN to a token of your account"));
  }
  if (response.status == 401) {
    throw Error(ErrorCode::kNotFound, concat("the hub has no public repository ", repository, "; for a private one, ",
                                             endpoint.token.empty() ? "set HF_TOKEN" : "check HF_TOKEN"));
  }
  if (response.status == 404) {
    throw Error(ErrorCode::kNotFound, concat("the hub has no such repository, revision or folder: ", repository));
  }
  throw Error(ErrorCode::kUnavailable, concat("the hub responds with status ", response.status, " for ", repository));
}

std::string page_of(const Endpoint& endpoint, const std::string& repository) {
  return concat(without_secrets(endpoint.url), "/", repository);
}

Snapshot read_snapshot(const HttpClient& client, const Endpoint& endpoint, const Reference& reference) {
  check_endpoint(endpoint);
  std::string body;
  const auto url =
      concat(endpoint.url, "/api/models/", reference.repository, "/revision/", escape_part(reference.revision));
  const auto response =
      client.get_document({.url = url, .token = endpoint.token}, reference.repository, kMaxDocumentBytes, body);
  check_hub_status(response, endpoint, reference.repository);
  const auto model = parse(body, reference.repository);
  Snapshot snapshot;
  snapshot.repository = reference.repository;
  if (model.is_object()) snapshot.commit = string_field(model, "sha");
  if (!is_hex(snapshot.commit, 40)) throw corrupt(reference.repository, "names no commit");
  snapshot.licence = read_licence(model);
  snapshot.files = list_files(client, endpoint, reference, snapshot.commit);
  return snapshot;
}

std::string file_url(const Endpoint& endpoint, const Snapshot& snapshot, const RemoteFile& file) {
  return concat(endpoint.url, "/", snapshot.repository, "/resolve/", snapshot.commit, "/", escape_path(file.path));
}

}  // namespace easel::hub
