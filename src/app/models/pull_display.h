// What `easel pull` shows while it fetches.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include "hub/pull.h"

namespace easel {

/// How far a download is.
struct PullState {
  std::uint64_t done = 0, total = 0;  ///< bytes
  double rate = 0;                    ///< bytes per second; 0: not known yet
};

/// "NAME: 1.2 GiB of 2.6 GiB, 35 MiB/s, 0:00:41 left"
std::string progress_text(const std::string& name, const PullState& state);

/// The same with a bar, in fewer characters than `columns`. The bar, and then the beginning of the name, are left out
/// where they do not fit.
std::string progress_bar(const std::string& name, const PullState& state, std::size_t columns);

/// Draws a bar on standard error again and again if that is a terminal; elsewhere it prints a line every five seconds.
class PullDisplay {
 public:
  explicit PullDisplay(std::string name);
  ~PullDisplay();
  PullDisplay(const PullDisplay&) = delete;
  PullDisplay& operator=(const PullDisplay&) = delete;

  void update(const hub::PullProgress& progress);

 private:
  using Clock = std::chrono::steady_clock;

  double rate_of(std::uint64_t done, Clock::time_point now);

  std::string name_;
  bool is_terminal_, started_ = false, printed_ = false;
  std::uint64_t first_done_ = 0;  ///< what earlier pulls had fetched
  Clock::time_point begin_ = Clock::now(), last_ = begin_ - std::chrono::hours(1);
};

}  // namespace easel
