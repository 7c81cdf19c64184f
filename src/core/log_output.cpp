#include "core/log_output.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <utility>

namespace easel::log {
namespace {

// How soon the thread notices that it is to end while nobody reads.
constexpr int kPollMilliseconds = 50;

}  // namespace

LogOutput::LogOutput(int descriptor, std::size_t max_bytes, std::function<void(std::uint64_t)> on_dropped)
    : descriptor_(descriptor), max_bytes_(max_bytes), on_dropped_(std::move(on_dropped)) {}

LogOutput::~LogOutput() {
  stop(std::chrono::milliseconds(0));
}

void LogOutput::write(std::string line) {
  {
    const MutexLock lock(mutex_);
    if (running_) {
      if (bytes_ + line.size() > max_bytes_) {
        ++dropped_;
        return;
      }
      bytes_ += line.size();
      lines_.push_back(std::move(line));
      changed_.notify_all();
      return;
    }
  }
  if (write_whole(line)) return;
  const MutexLock lock(mutex_);
  ++dropped_;
}

void LogOutput::start() {
  const MutexLock lock(mutex_);
  if (running_) return;
  stopping_ = false;
  thread_ = std::thread([this] { work(); });
  running_ = true;
}

void LogOutput::stop(std::chrono::milliseconds timeout) {
  {
    const auto until = std::chrono::steady_clock::now() + timeout;
    const MutexLock lock(mutex_);
    if (!running_) return;
    while (bytes_ > 0 && changed_.wait_until(mutex_, until)) {
    }
    running_ = false;
    stopping_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

std::uint64_t LogOutput::dropped() const {
  const MutexLock lock(mutex_);
  return dropped_;
}

void LogOutput::work() {
  while (const auto line = next_line()) settle(line->size(), write_whole(*line));
}

std::optional<std::string> LogOutput::next_line() {
  const MutexLock lock(mutex_);
  while (lines_.empty() && !stopping_) changed_.wait(mutex_);
  if (stopping_) {
    dropped_ += std::exchange(lines_, {}).size();
    bytes_ = 0;  // no line is being written
    return std::nullopt;
  }
  auto line = std::move(lines_.front());
  lines_.pop_front();
  return line;
}

// Counts a line that was tried, and reports what was dropped before it once no line waits any more.
void LogOutput::settle(std::size_t bytes, bool written) {
  std::uint64_t unreported = 0;
  {
    const MutexLock lock(mutex_);
    bytes_ -= bytes;
    if (!written) ++dropped_;
    if (written && lines_.empty() && !stopping_) unreported = dropped_ - std::exchange(reported_, dropped_);
    changed_.notify_all();
  }
  if (unreported > 0) on_dropped_(unreported);
}

// A pipe that is ready takes PIPE_BUF bytes without blocking.
bool LogOutput::write_whole(const std::string& line) {
  std::size_t done = 0;
  while (done < line.size()) {
    pollfd ready{.fd = descriptor_, .events = POLLOUT, .revents = 0};
    const int found = poll(&ready, 1, kPollMilliseconds);
    if (found < 0 && errno != EINTR) return false;
    if (found <= 0) {
      if (stopping()) return false;
      continue;
    }
    const auto part = std::min<std::size_t>(line.size() - done, PIPE_BUF);
    const auto written = ::write(descriptor_, line.data() + done, part);
    if (written < 0 && errno != EINTR && errno != EAGAIN) return false;
    if (written > 0) done += static_cast<std::size_t>(written);
  }
  return true;
}

bool LogOutput::stopping() const {
  const MutexLock lock(mutex_);
  return stopping_;
}

}  // namespace easel::log
