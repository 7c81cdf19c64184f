// A folder of textual inversions, whose files' names are words in prompts.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "adapters/learned_embedding.h"
#include "core/mutex.h"
#include "weights/format/file_stamp.h"

namespace easel {

/// Watches a folder's own .safetensors, .pt and .bin files, not those of folders in it. A file's name without its
/// extension is its word; of files with one word, that first in this order of extensions counts. Files that come, go
/// or change are seen at the next call; only vectors that are asked for are read. Thread-safe.
class EmbeddingFolder {
 public:
  struct File {
    std::string word;  ///< valid UTF-8, not empty
    std::string path;

    bool operator==(const File&) const = default;
  };
  /// In the order of the words' bytes.
  using Files = std::vector<File>;

  struct Loaded {
    LearnedEmbedding embedding;
    std::uint64_t version;  ///< of no other vectors, as long as the process lives
  };

  /// @throws Error(kNotFound)  no such folder
  explicit EmbeddingFolder(std::string path);

  /// The same object for as long as the same files are there. As long as nothing comes or goes it costs one look at the
  /// folder's time.
  std::shared_ptr<const Files> files();

  /// The vectors of one of files(); read when they are first asked for, and again when the file has changed.
  /// @throws Error(kNotFound, kCorruptData, kUnsupported)  names the file, without the folder
  std::shared_ptr<const Loaded> load(const File& file);

 private:
  using FileTime = std::filesystem::file_time_type;
  struct Cached {
    std::optional<FileStamp> stamp;
    std::shared_ptr<const Loaded> loaded;
  };

  Files read_folder() const;
  std::string without_folder(std::string message) const;

  std::string path_;
  Mutex mutex_;
  FileTime time_ EASEL_GUARDED_BY(mutex_) = {};
  bool settled_ EASEL_GUARDED_BY(mutex_) = false;  // the folder's time was old enough to tell a later change
  std::shared_ptr<const Files> files_ EASEL_GUARDED_BY(mutex_);
  std::map<std::string, Cached> cache_ EASEL_GUARDED_BY(mutex_);  // by path
  std::uint64_t versions_ EASEL_GUARDED_BY(mutex_) = 0;
};

}  // namespace easel
