// What happens when another program cuts off a file that is mapped.
#pragma once

#include <atomic>
#include <cstddef>

namespace easel {

/// While it lives, touching a page of a mapping that the file no longer has does not end the process (SIGBUS): the page
/// is zeros from then on, and lost() is true. Thread-safe. Beyond kMaxMappings mappings at a time the others are not
/// guarded.
class PageGuard {
 public:
  static constexpr std::size_t kMaxMappings = 4096;

  /// @param data  of mmap; unmapped after the guard has gone
  PageGuard(const void* data, std::size_t size);
  ~PageGuard();
  PageGuard(const PageGuard&) = delete;
  PageGuard& operator=(const PageGuard&) = delete;

  bool truncated() const;

 private:
  std::size_t range_index_;  // kMaxMappings: none was free
};

}  // namespace easel
