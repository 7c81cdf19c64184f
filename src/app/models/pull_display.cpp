#include "app/models/pull_display.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "app/command_line/format.h"
#include "core/text.h"

namespace easel {
namespace {

std::string format_time(double seconds) {
  const auto whole = static_cast<long long>(std::min(seconds, 3.6e6));
  char text[32];
  std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60, whole % 60);
  return text;
}

std::string describe_progress(const PullState& state) {
  const auto bytes = [](double count) { return format_bytes(static_cast<std::int64_t>(count)); };
  const auto done = static_cast<double>(state.done), total = static_cast<double>(state.total);
  return concat(
      bytes(done), " of ", bytes(total),
      state.rate > 0 ? concat(", ", bytes(state.rate), "/s, ", format_time((total - done) / state.rate), " left") : "");
}

std::size_t columns_of_terminal() {
  constexpr std::size_t kDefault = 80;
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : kDefault;
}

}  // namespace

std::string progress_text(const std::string& name, const PullState& state) {
  return concat(name, ": ", describe_progress(state));
}

std::string progress_bar(const std::string& name, const PullState& state, std::size_t columns) {
  constexpr std::size_t kLeastBar = 8, kMostBar = 40;
  const double share =
      state.total > 0 ? std::min(1.0, static_cast<double>(state.done) / static_cast<double>(state.total)) : 1.0;
  char percent[8];
  std::snprintf(percent, sizeof percent, "%3d%%", static_cast<int>(share * 100));
  const auto text = concat(percent, " ", describe_progress(state));
  const auto room = columns > text.size() + 2 ? columns - text.size() - 2 : 0;  // for the name and the bar
  if (name.size() + kLeastBar + 3 <= room) {
    const auto width = std::min(room - name.size() - 3, kMostBar);
    const auto full = static_cast<std::size_t>(share * static_cast<double>(width));
    return concat(name, " [", std::string(full, '#'), std::string(width - full, '-'), "] ", text);
  }
  if (name.size() <= room) return concat(name, " ", text);
  auto end = name.substr(name.size() - (room > 3 ? room - 3 : 0));
  while (!end.empty() && is_utf8_continuation(end.front())) end.erase(0, 1);
  return end.empty() ? text.substr(0, columns > 0 ? columns - 1 : 0) : concat("...", end, " ", text);
}

PullDisplay::PullDisplay(std::string name) : name_(std::move(name)), is_terminal_(isatty(STDERR_FILENO) != 0) {}

PullDisplay::~PullDisplay() {
  if (is_terminal_ && printed_) std::fputc('\n', stderr);
}

double PullDisplay::rate_of(std::uint64_t done, Clock::time_point now) {
  // What had been fetched before can turn out to be of no use.
  first_done_ = std::min(started_ ? first_done_ : done, done);
  started_ = true;
  const auto seconds = std::chrono::duration<double>(now - begin_).count();
  return seconds > 0 ? static_cast<double>(done - first_done_) / seconds : 0;
}

void PullDisplay::update(const hub::PullProgress& progress) {
  const auto now = Clock::now();
  const PullState state{.done = progress.done, .total = progress.total, .rate = rate_of(progress.done, now)};
  const auto interval = is_terminal_ ? std::chrono::milliseconds(200) : std::chrono::milliseconds(5000);
  if (now - last_ < interval && progress.done < progress.total) return;
  last_ = now;
  if (is_terminal_) {
    std::fprintf(stderr, "\r\x1b[K%s", progress_bar(name_, state, columns_of_terminal()).c_str());
  } else {
    std::fprintf(stderr, "%s\n", progress_text(name_, state).c_str());
  }
  std::fflush(stderr);
  printed_ = true;
}

}  // namespace easel
