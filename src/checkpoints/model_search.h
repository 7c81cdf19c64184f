// Finds the checkpoints in a folder that people keep their models in.
#pragma once

#include <string>
#include <vector>

namespace easel {

/// Something in the folder that looks like a model and is not offered as one.
struct PassedOver {
  std::string path;
  std::string reason;  ///< follows the path in a message, e.g. "holds an autoencoder and no model ..."

  bool operator==(const PassedOver&) const = default;
};

struct ModelSearch {
  struct Found {
    std::string name;  ///< what requests call it: its path from the folder without an extension, or ORG/NAME
    std::string path;  ///< of the checkpoint folder or file
  };
  std::vector<Found> found;  ///< sorted by path
  std::vector<PassedOver> passed_over;
};

/// Searches a folder and its subfolders, at most eight levels deep. Links are followed, but no folder is searched
/// twice. Hidden folders are left out, and so are the folders below a checkpoint. A folder of Hugging Face's cache,
/// models--ORG--NAME, is the checkpoint in its snapshot and is called ORG/NAME.
/// @throws Error(kNotFound)  no such folder
ModelSearch search_models(const std::string& folder);

/// The snapshot that a folder of Hugging Face's cache (models--ORG--NAME) points at by refs/main; without that, the one
/// that was changed last. `path` itself if it is another folder.
std::string hub_snapshot(const std::string& path);

/// Whether a folder is Hugging Face's cache itself: it holds folders models--ORG--NAME.
bool is_hub_cache(const std::string& path);

/// ORG/NAME of a folder models--ORG--NAME or of a snapshot in it; empty for any other path.
std::string hub_name(const std::string& path);

}  // namespace easel
