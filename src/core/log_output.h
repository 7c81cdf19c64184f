// Where log lines go: a file descriptor, whose reader may be slow, may stop reading, or may end.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <thread>

#include "core/mutex.h"

namespace easel::log {

/// Writes lines in order. Thread-safe.
///
/// Until start() is called, write() returns when the line is written. From then on a thread of its own writes the
/// lines, and write() never waits: a line for which there is no space in memory is dropped, and so is a line that
/// cannot be written, for example because the reader of a pipe has ended.
class LogOutput {
 public:
  /// @param descriptor  is not closed by this object
  /// @param max_bytes   of the lines that wait to be written
  /// @param on_dropped  called by the writing thread with the number of lines that were dropped, once lines can be
  ///                    written again; it may call write()
  LogOutput(int descriptor, std::size_t max_bytes, std::function<void(std::uint64_t)> on_dropped);
  /// As stop(), without waiting for the lines that were not written.
  ~LogOutput();
  LogOutput(const LogOutput&) = delete;
  LogOutput& operator=(const LogOutput&) = delete;

  void write(std::string line);
  /// Starts the thread, unless it runs. Not to be called at the same time as stop().
  void start();
  /// Gives the waiting lines this much time to be written, drops the rest, and ends the thread.
  void stop(std::chrono::milliseconds timeout);
  /// Lines dropped since this object was made.
  std::uint64_t dropped() const;

 private:
  void work();
  /// Waits for a line. @return none when the thread is to end
  std::optional<std::string> next_line();
  void settle(std::size_t bytes, bool written);
  /// @return whether all of it was written
  bool write_whole(const std::string& line);
  bool stopping() const;

  const int descriptor_;
  const std::size_t max_bytes_;
  const std::function<void(std::uint64_t)> on_dropped_;
  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<std::string> lines_ EASEL_GUARDED_BY(mutex_);
  std::size_t bytes_ EASEL_GUARDED_BY(mutex_) = 0;  // of all lines_ and of the line being written
  std::uint64_t dropped_ EASEL_GUARDED_BY(mutex_) = 0;
  std::uint64_t reported_ EASEL_GUARDED_BY(mutex_) = 0;  // of dropped_
  bool running_ EASEL_GUARDED_BY(mutex_) = false;
  bool stopping_ EASEL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace easel::log
