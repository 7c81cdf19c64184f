// One file of a model, from the hub to the disk.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "hub/http_client.h"

namespace easel::hub {

struct Download {
  std::string url;
  std::string token;
  std::string path;                        ///< of the finished file; until then the bytes are in PATH.partial
  std::string name;                        ///< in messages
  std::optional<std::uint64_t> size = {};  ///< bytes, where known
  std::string sha256 = {};                 ///< expected; empty: not checked
  std::string git_id = {};                 ///< expected git blob id; empty: not checked. Needs `size`
  std::string terms = {};                  ///< the page where the terms of its repository are accepted; empty: unknown
  std::string etag = {};                   ///< of the version to continue; empty: not compared
  std::string last_modified = {};          ///< as etag, of the header Last-Modified
};

/// Called with the number of further bytes on the disk; it is negative when bytes had to be discarded.
using BytesReceived = std::function<void(std::int64_t bytes)>;

/// Fetches a file unless it is there already. Continues a partial file by a range request; the bytes of both are
/// checked together. A file that fails the check is discarded and fetched once more.
/// @throws Error(kCorruptData)       size or checksum are wrong twice
/// @throws Error(kNotFound)          the server has no such file
/// @throws Error(kUnavailable)       the server fails too often, or refuses
/// @throws Error(kResourceExhausted) the disk is full
void download(const HttpClient& client, const Download& file, const BytesReceived& received);

/// Bytes of the file that are on the disk already, finished or partial.
std::uint64_t bytes_on_disk(const Download& file);

}  // namespace easel::hub
