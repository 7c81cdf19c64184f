// Where a model is assembled until it is complete: a hidden folder inside the models folder.
#pragma once

#include <functional>
#include <map>
#include <string>

namespace easel::hub {

/// Creates the models folder if it does not exist. @throws Error(kUnavailable)  it cannot be written to
void prepare_models_folder(const std::string& models_dir);

/// The versions of a model's files by their paths. What has another version, or is not listed, is of no use.
using FileVersions = std::map<std::string, std::string>;

/// The unfinished files of one model, which survive until the model is complete, so that a later pull continues. Only
/// one process at a time has it: others wait in the constructor. Symbolic links in the way are refused, not followed.
/// Not thread-safe.
class Staging {
 public:
  /// @param models_dir  see prepare_models_folder
  /// @param target      name of the finished folder or file in models_dir
  /// @param stop        asked several times per second while another process has it; empty: never
  /// @throws Error(kUnavailable)      models_dir cannot be written to
  /// @throws Error(kInvalidArgument)  a symbolic link is in the way
  /// @throws Error(kCancelled)        `stop` returned true
  Staging(const std::string& models_dir, const std::string& target, const std::function<bool()>& stop = {});
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  /// Discards what an earlier pull left, except files that have the same path and the same version now.
  void keep_only(const FileVersions& versions);

  /// The path for a file, whose folders are created. @param relative  is_safe_path() holds for it
  std::string file(const std::string& relative) const;

  /// Whether the target exists already, as anything at all.
  bool target_exists() const;
  std::string target_path() const;

  /// Moves the staged folder, or the only staged file named `file`, to the target and removes everything else.
  /// @param file  relative; empty: the whole folder
  /// @throws Error(kUnavailable)  the target exists, or cannot be created
  void publish(const std::string& file = "");

  /// Removes the target so that it is either whole or absent in models_dir, whenever the process is killed.
  /// @throws Error(kUnavailable)  it cannot be removed
  void remove_target();

 private:
  void lock(const std::function<bool()>& stop);
  std::string removed_path() const;

  std::string models_dir_, target_, hidden_, folder_, lock_path_;
  int lock_ = -1;
};

}  // namespace easel::hub
