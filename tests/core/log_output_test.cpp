// Readers of a log that are slow, stop reading, or end.
#include "core/log_output.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <string>

#include "core/background_log.h"
#include "core/log.h"

namespace easel::log {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::size_t kMaxBytes = std::size_t{1} << 20;
constexpr milliseconds kLongEnough{5000};

/// A pipe with the space of two pages: Linux reports it as writable while one of them is free.
class Pipe {
 public:
  Pipe() {
    EXPECT_EQ(pipe(ends_.data()), 0);
    EXPECT_EQ(fcntl(ends_[1], F_SETPIPE_SZ, 8192), 8192);
    signal(SIGPIPE, SIG_IGN);
  }
  ~Pipe() {
    close_reader();
    close(ends_[1]);
    signal(SIGPIPE, SIG_DFL);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  int writer() const { return ends_[1]; }
  void close_reader() {
    if (ends_[0] >= 0) close(ends_[0]);
    ends_[0] = -1;
  }
  /// Reads until nothing has come for a fifth of a second.
  std::string read_all() {
    std::string text;
    std::array<char, 4096> part{};
    for (pollfd ready{ends_[0], POLLIN, 0}; poll(&ready, 1, 200) > 0;) {
      const auto count = read(ends_[0], part.data(), part.size());
      if (count <= 0) break;
      text.append(part.data(), static_cast<std::size_t>(count));
    }
    return text;
  }

 private:
  std::array<int, 2> ends_{-1, -1};
};

std::size_t count_lines(const std::string& text, const std::string& line) {
  std::size_t count = 0;
  for (auto at = text.find(line); at != std::string::npos; at = text.find(line, at + line.size())) ++count;
  return count;
}

TEST(LogOutput, WritesInOrderWithAndWithoutTheThread) {
  Pipe pipe;
  LogOutput output(pipe.writer(), kMaxBytes, [](std::uint64_t) {});
  output.write("a\n");
  output.start();
  output.write("b\n");
  output.write("c\n");
  output.stop(kLongEnough);
  output.write("d\n");
  EXPECT_EQ(pipe.read_all(), "a\nb\nc\nd\n");
  EXPECT_EQ(output.dropped(), 0u);
}

TEST(LogOutput, ReaderThatStopsReadingDelaysNobodyAndLearnsHowManyLinesItMissed) {
  Pipe pipe;
  std::atomic<std::uint64_t> reported = 0;
  LogOutput output(pipe.writer(), kMaxBytes, [&](std::uint64_t lines) {
    reported = lines;
    output.write("dropped\n");
  });
  output.start();
  const std::string line(999, 'x');
  constexpr std::uint64_t kLines = 5000;
  const auto start = Clock::now();
  for (std::uint64_t i = 0; i < kLines; ++i) output.write(line + "\n");
  EXPECT_LT(Clock::now() - start, milliseconds(1000));
  const auto dropped = output.dropped();
  EXPECT_GT(dropped, kLines - kMaxBytes / 1000 - 10);
  EXPECT_LT(dropped, kLines - kMaxBytes / 1000 + 10);
  const auto text = pipe.read_all();
  EXPECT_EQ(count_lines(text, line), kLines - dropped);
  EXPECT_TRUE(text.ends_with("dropped\n"));
  EXPECT_EQ(reported, dropped);
}

TEST(LogOutput, ReaderThatEndsCostsOnlyTheLines) {
  Pipe pipe;
  LogOutput output(pipe.writer(), kMaxBytes, [](std::uint64_t) {});
  output.start();
  pipe.close_reader();
  for (int i = 0; i < 10; ++i) output.write("x\n");
  output.stop(kLongEnough);
  EXPECT_EQ(output.dropped(), 10u);
}

TEST(LogOutput, StopDoesNotWaitForAReaderForLongerThanAsked) {
  Pipe pipe;
  LogOutput output(pipe.writer(), kMaxBytes, [](std::uint64_t) {});
  output.start();
  for (int i = 0; i < 20; ++i) output.write(std::string(1000, 'x'));
  const auto start = Clock::now();
  output.stop(milliseconds(200));
  const auto waited = Clock::now() - start;
  EXPECT_GE(waited, milliseconds(200));
  EXPECT_LT(waited, milliseconds(2000));
  EXPECT_GE(output.dropped(), 10u);
}

TEST(LogOutput, DescriptorThatIsNotOpenCostsOnlyTheLines) {
  constexpr int kNeverOpen = 1 << 20;
  LogOutput closed(kNeverOpen, kMaxBytes, [](std::uint64_t) {});
  closed.write("x\n");
  EXPECT_EQ(closed.dropped(), 1u);
}

TEST(BackgroundLog, WritesToStandardError) {
  testing::internal::CaptureStderr();
  {
    const BackgroundLog background;
    info("in the background", {{"n", 1}});
  }
  EXPECT_NE(testing::internal::GetCapturedStderr().find("in the background n=1\n"), std::string::npos);
}

}  // namespace
}  // namespace easel::log
