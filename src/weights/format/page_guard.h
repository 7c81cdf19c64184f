// What happens when another program cuts off a file that is mapped.
#pragma once

#include <atomic>
#include <cstddef>

namespace easel {

/// Installs a handler of SIGBUS for the whole process, so that reading a page of a guarded mapping that its file no
/// longer has does not end the process: the page then holds zeros, and the mapping's guard reports it. Without the
/// handler, such a read ends the process, as it does by default; everything else is the same. Meant for the program's
/// main function. Thread-safe; later calls do nothing.
///
/// A SIGBUS of any other address is passed on to what was installed before.
void install_truncation_guard();

/// Registers a mapping for as long as it lives. Thread-safe. At most kMaxMappings mappings are guarded at a time;
/// further ones are not.
class PageGuard {
 public:
  static constexpr std::size_t kMaxMappings = 4096;

  /// @param data  returned by mmap; unmapped after the guard is destroyed
  PageGuard(const void* data, std::size_t size);
  ~PageGuard();
  PageGuard(const PageGuard&) = delete;
  PageGuard& operator=(const PageGuard&) = delete;

  /// Whether a page was read that the file no longer had.
  bool truncated() const;

 private:
  std::size_t range_index_;  // kMaxMappings: none was free
};

}  // namespace easel
