// The hashes by which model sites recognise files.
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <thread>

#include "core/mutex.h"

namespace easel {

/// SHA-256 hashes of whole files. A file of some GB takes seconds, so a hash is computed once, by a background thread
/// of the lowest priority, and kept in a folder together with the size and the modification time of its file.
/// Thread-safe.
class FileHashes {
 public:
  /// @param folder  keeps the hashes from one start of the program to the next; made when it is needed; empty: none
  /// does
  explicit FileHashes(std::filesystem::path folder);
  /// Waits for the thread, which stops within one piece of the file that it reads.
  ~FileHashes();
  FileHashes(const FileHashes&) = delete;
  FileHashes& operator=(const FileHashes&) = delete;

  /// 64 hexadecimal digits; empty: not known yet. Does not access the file.
  std::string known(const std::string& path) const;
  /// Sees to it that known() has the hash of the present file after a while. Returns at once, although the file may be
  /// on a mount that does not respond. Folders have no hash.
  void compute_later(const std::string& path);
  /// Computes the hash unless it is kept, and waits for it. @return empty: the file cannot be read, or changes
  std::string compute(const std::string& path);

 private:
  struct Known {
    std::string state;  ///< of the file: its size and its modification time
    std::string hash;
  };
  void run();
  /// @return without a hash: as compute()
  Known find_or_compute(const std::string& path);

  const std::filesystem::path folder_;
  mutable Mutex mutex_;
  CondVar changed_;
  std::map<std::string, Known> known_ EASEL_GUARDED_BY(mutex_);
  std::set<std::string> wanted_ EASEL_GUARDED_BY(mutex_);
  bool stopping_ EASEL_GUARDED_BY(mutex_) = false;
  std::thread thread_ EASEL_GUARDED_BY(mutex_);
};

}  // namespace easel
