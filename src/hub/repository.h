// What the hub says about a repository: Hugging Face's API.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hub/http_client.h"
#include "hub/reference.h"

namespace easel::hub {

/// A file of a repository at one commit.
struct RemoteFile {
  std::string path;         ///< in the repository; is_safe_path() holds for it
  std::uint64_t size = 0;   ///< bytes
  std::string sha256 = {};  ///< of large files (git LFS), else empty
  std::string git_id = {};  ///< git's blob id, where there is no sha256
};

/// A repository at one commit.
struct Snapshot {
  std::string repository;
  std::string commit;   ///< 40 hexadecimal digits
  std::string licence;  ///< as the model card names it; empty where it does not
  std::vector<RemoteFile> files;
};

/// A hub's address and the token for it.
struct Endpoint {
  std::string url = "https://huggingface.co";
  std::string token = {};
};

/// Turns a status other than 200 of a request for a repository into an error that says what to do.
/// @throws Error  as read_snapshot
void check_hub_status(const HttpResponse& response, const Endpoint& endpoint, const std::string& repository);

/// The page where the terms of a repository are accepted.
std::string page_of(const Endpoint& endpoint, const std::string& repository);

/// Resolves the revision to a commit and lists the files of reference.folder at that commit.
/// @throws Error(kInvalidArgument)  the endpoint is not an address of http or https
/// @throws Error(kNotFound)     no such repository or revision
/// @throws Error(kUnavailable)  the hub cannot be reached, or its terms must be accepted first; the message says where
/// @throws Error(kCorruptData)  the response is not what the API promises, e.g. a path that climbs out, or too long
Snapshot read_snapshot(const HttpClient& client, const Endpoint& endpoint, const Reference& reference);

/// The address of a file's contents.
std::string file_url(const Endpoint& endpoint, const Snapshot& snapshot, const RemoteFile& file);

}  // namespace easel::hub
