// Finished images that responses link to. In memory only: nothing is written to disk, and nothing survives a restart.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "core/mutex.h"
#include "easel/image_output.h"

namespace easel::http {

/// An image file as a client downloads it.
struct StoredImage {
  std::string bytes;
  ImageFormat format = ImageFormat::kPng;
};

/// Keeps image files for a while under ids that cannot be guessed. Thread-safe.
///
/// The sum of the files' sizes never exceeds the limit: the oldest files are dropped first. Reading a file does not
/// make it younger.
class ImageStore {
 public:
  using Clock = std::chrono::steady_clock;

  /// @param max_bytes  of all files together; 0: keeps nothing
  /// @param lifetime   how long a file is kept at most
  /// @param now        the clock; tests have their own
  ImageStore(std::size_t max_bytes, std::chrono::seconds lifetime, std::function<Clock::time_point()> now = &Clock::now)
      : max_bytes_(max_bytes), lifetime_(lifetime), now_(std::move(now)) {}

  /// Keeps a file, which it takes from `image` only when it fits.
  /// @return its id, 32 hexadecimal digits of 128 random bits; none: the file is larger than the whole store
  std::optional<std::string> add(StoredImage&& image);

  /// The file of that id; null when it was never kept, is older than the lifetime, or was dropped to make room.
  std::shared_ptr<const StoredImage> find(std::string_view id);

 private:
  struct Entry {
    std::string id;
    Clock::time_point expires;
  };
  void drop_expired() EASEL_REQUIRES(mutex_);
  void drop_oldest() EASEL_REQUIRES(mutex_);

  const std::size_t max_bytes_;
  const std::chrono::seconds lifetime_;
  const std::function<Clock::time_point()> now_;

  Mutex mutex_;
  std::deque<Entry> by_age_ EASEL_GUARDED_BY(mutex_);  // oldest first
  std::map<std::string, std::shared_ptr<const StoredImage>, std::less<>> files_ EASEL_GUARDED_BY(mutex_);
  std::size_t bytes_ EASEL_GUARDED_BY(mutex_) = 0;
};

}  // namespace easel::http
