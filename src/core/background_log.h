// The log of a server, which must not wait for the log's reader.
#pragma once

#include <cstdint>

namespace easel::log {

/// While it exists, a thread of its own writes the lines to standard error. Lines for which the reader is too slow are
/// dropped, counted, and reported in one line afterwards. The destructor waits at most a second for the reader. There
/// may be one object at a time. Blocked signals stay blocked in the thread.
class BackgroundLog {
 public:
  BackgroundLog();
  ~BackgroundLog();
  BackgroundLog(const BackgroundLog&) = delete;
  BackgroundLog& operator=(const BackgroundLog&) = delete;
};

/// For the end of the process within the lifetime of a BackgroundLog: waits as its destructor does, and writes further
/// lines directly.
void flush_background();

/// Lines dropped since the program started. Thread-safe.
std::uint64_t dropped_lines();

}  // namespace easel::log
