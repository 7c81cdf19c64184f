// The folder of adapter files that requests choose from.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/mutex.h"
#include "weights/format/file_stamp.h"

namespace easel {

/// The safetensors files in a folder and its subfolders. An adapter's name is its path relative to the folder without
/// the extension: "ink", "sdxl/ink". It may also be called by the name that its metadata gives it (`ss_output_name`, as
/// kohya's trainer writes it), unless a file has that name.
///
/// The names are kept in memory. They are read again when a folder has changed, so files may be added and removed: a
/// lookup costs one look at each folder, whether the name is known or not. Thread-safe.
class AdapterDirectory {
 public:
  /// @param path  empty: there are no adapters
  explicit AdapterDirectory(std::string path);

  /// Sorted. Empty where the folder cannot be read.
  std::vector<std::string> names() const;
  /// The file of an adapter. If only one name ends with `name` after a slash, that adapter is meant: "ink" finds
  /// "sdxl/ink".
  /// @throws Error(kInvalidArgument)  there is no such adapter, or there are several; the message lists adapters. Names
  ///                                  that leave the folder, such as "../x", are never found. Param loras
  std::string file(const std::string& name) const;
  /// How many times the names were read.
  std::size_t scans() const;

 private:
  using FileTime = std::filesystem::file_time_type;
  struct Entry {
    std::string path;
    std::optional<FileStamp> stamp;
    std::string output_name;  ///< of its metadata; may be empty
  };
  struct Index {
    std::map<std::string, Entry> entries;     ///< by name
    std::map<std::string, FileTime> folders;  ///< that were looked into, with the times of their last changes
    bool settled = false;                     ///< whether these times tell later changes apart
  };

  bool is_current() const EASEL_REQUIRES(mutex_);
  const Index& index() const EASEL_REQUIRES(mutex_);
  Index read() const EASEL_REQUIRES(mutex_);
  std::vector<std::string> find(const std::string& name) const EASEL_REQUIRES(mutex_);

  std::string path_;
  mutable Mutex mutex_;
  mutable Index index_ EASEL_GUARDED_BY(mutex_);
  mutable std::size_t scans_ EASEL_GUARDED_BY(mutex_) = 0;
};

}  // namespace easel
