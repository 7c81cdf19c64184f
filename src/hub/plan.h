// What a pull has to fetch, and where it goes.
#pragma once

#include <string>
#include <vector>

#include "hub/download.h"
#include "hub/http_client.h"
#include "hub/pull.h"

namespace easel::hub {

struct PullPlan {
  std::string target;   ///< name in the models folder
  std::string version;  ///< staged files of another version are discarded
  std::string licence = {};
  std::string manifest = {};         ///< contents of the model's easel.json; empty: it gets none
  std::string single_file = {};      ///< the only file's name; empty: the target is a folder
  std::vector<Download> files = {};  ///< their paths are relative until they are staged
};

/// Asks the hub, or the server of an address, what there is, and downloads no weights.
/// @param what  a reference (see parse_reference), the name of a recipe, or the http(s) address of one file
/// @throws Error  as pull()
PullPlan make_plan(const HttpClient& client, const std::string& what, const PullOptions& options);

}  // namespace easel::hub
