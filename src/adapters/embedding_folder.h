// A folder of textual inversions. The names of its files are words in prompts.
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

/// Watches the .safetensors, .pt and .bin files directly in a folder. A file's name without its extension is its word;
/// if several files have the same word, the extensions are preferred in this order. Files that are added, removed or
/// changed are noticed by the next call; only vectors that are asked for are read. Thread-safe.
class EmbeddingFolder {
 public:
  struct File {
    std::string word;  ///< valid UTF-8, not empty
    std::string path;

    bool operator==(const File&) const = default;
  };
  /// Sorted by the words' bytes.
  using Files = std::vector<File>;

  struct Loaded {
    LearnedEmbedding embedding;
    std::uint64_t version;  ///< unique to these vectors within the process
  };

  /// @throws Error(kNotFound)  the folder does not exist
  explicit EmbeddingFolder(std::string path);

  /// Returns the same object while the set of files is unchanged, which normally costs only a check of the folder's
  /// modification time.
  std::shared_ptr<const Files> files();

  /// The vectors of one of files(). They are read by the first call, and again after the file has changed.
  /// @throws Error(kNotFound, kCorruptData, kUnsupported)  names the file without the folder
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
  bool settled_ EASEL_GUARDED_BY(mutex_) = false;  // the folder's time was old enough to differ after any later change
  std::shared_ptr<const Files> files_ EASEL_GUARDED_BY(mutex_);
  std::map<std::string, Cached> cache_ EASEL_GUARDED_BY(mutex_);  // by path
  std::uint64_t versions_ EASEL_GUARDED_BY(mutex_) = 0;
};

}  // namespace easel
