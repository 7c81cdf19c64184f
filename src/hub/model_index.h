// What the model_index.json of a repository says, which decides what a model needs.
#pragma once

#include <set>
#include <string>

#include "hub/http_client.h"
#include "hub/repository.h"

namespace easel::hub {

struct ModelIndex {
  std::string class_name;            ///< of diffusers' pipeline; empty where the file does not name one
  std::set<std::string> components;  ///< names of the folders of components; null entries are left out
};

/// @param file  the model_index.json of the snapshot
/// @param copy  a path where the same file may be already; it is read if its checksum is the expected one
/// @throws Error(kCorruptData)  it is not JSON, or does not have the expected checksum
/// @throws Error                as HttpClient::get_document and check_hub_status
ModelIndex read_model_index(const HttpClient& client, const Endpoint& endpoint, const Snapshot& snapshot,
                            const RemoteFile& file, const std::string& copy);

/// Checks that the index of a sharded file, which was fetched already, names only shards of the plan.
/// @param path    of the index
/// @param name    of the index in its repository, for messages
/// @param shards  the names of the files that will be in its folder
/// @throws Error(kCorruptData)  it is not an index, or names another file
void check_shard_index(const std::string& path, const std::string& name, const std::set<std::string>& shards);

}  // namespace easel::hub
