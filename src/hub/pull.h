// Brings models into the models folder, and removes them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "hub/http_client.h"
#include "hub/repository.h"

namespace easel::hub {

struct PullProgress {
  std::uint64_t done = 0, total = 0;  ///< bytes
};

struct PullOptions {
  std::string folder;  ///< where models are kept; created if it does not exist
  Endpoint endpoint = {};
  std::string civitai_token = {};
  std::string half_variant = {};  ///< of the weights, that suits the dtype: fp16 or bf16; empty: full precision
  std::string sha256 = {};        ///< expected of a single file, in lower case; empty: not stated
  /// Called with the class of a model's pipeline and the name of its file before anything else is fetched. What it
  /// throws ends the pull. Empty: every class is accepted.
  std::function<void(const std::string& class_name, const std::string& where)> check_class = {};
  TransferPolicy policy = {};
  std::function<void(const PullProgress&)> on_progress = {};
};

struct PulledModel {
  std::string path;          ///< folder or file
  std::string licence = {};  ///< as the hub names it; empty where it does not
  std::uint64_t bytes = 0;   ///< of all its files
  bool was_there = false;    ///< it was complete before
  bool has_pickles = false;  ///< `easel convert` is needed before it can be served
};

/// Fetches a model so that it is either complete in options.folder or not there. What an interrupted call has fetched
/// is used by the next one. Calls of several processes for the same model wait for each other.
/// @param given  a reference (see parse_reference), the name of a recipe, the address of a page of the hub (see
///               reference_of_page), or the http(s) address of one file
/// @throws Error  as read_snapshot, choose_model_files and download
/// @throws Error(kInvalidArgument)    malformed, or the place is taken by something that easel did not pull
/// @throws Error(kResourceExhausted)  the disk has not enough space
PulledModel pull(const std::string& given, const PullOptions& options);

/// The name that pull() gives to the model's folder or file; empty where `what` is neither the name of a recipe nor a
/// reference. The name of a file by its address comes from its server, so it is empty, too.
std::string target_name(const std::string& what);

/// A file that pull() would fetch.
struct PlannedFile {
  std::string name;  ///< in its repository
  std::uint64_t bytes = 0;
};

/// What pull() would fetch into an empty folder. Fetches no weights and writes nothing.
/// @throws Error  as pull()
std::vector<PlannedFile> planned_files(const std::string& what, const PullOptions& options);

/// What pull() was asked for when it brought the model; empty where easel did not pull it.
/// @param path  of its folder or file
std::string pulled_source(const std::string& path);

/// Whether two names are of one model: the same recipe or address, or the same part of a repository. A revision counts
/// only where both names have one.
bool is_same_model(const std::string& name, const std::string& other);

/// The path of a model that pull() has brought.
/// @param given  the name of its folder or file in `folder`, or what it was pulled as
/// @throws Error(kNotFound)         there is no such model
/// @throws Error(kInvalidArgument)  easel did not pull it
/// @throws Error(kUnavailable)      its folder is read-only
std::string check_removable(const std::string& folder, const std::string& given);

/// Removes a model that pull() has brought.
/// @return  the path that was removed
/// @throws Error                as check_removable()
/// @throws Error(kUnavailable)  it cannot be removed
std::string remove_pulled(const std::string& folder, const std::string& given);

}  // namespace easel::hub
