#include "tensor/parallel.h"

#include <ATen/Parallel.h>
#include <gmock/gmock.h>

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

namespace easel {
namespace {

using ::testing::Each;
using ::testing::SizeIs;

/// The number of threads of libtorch, put back at the end.
class ThreadCount {
 public:
  explicit ThreadCount(int count) : before_(at::get_num_threads()) { at::set_num_threads(count); }
  ~ThreadCount() { at::set_num_threads(before_); }
  ThreadCount(const ThreadCount&) = delete;
  ThreadCount& operator=(const ThreadCount&) = delete;

 private:
  int before_;
};

#ifdef __clang__  // builds with clang have no OpenMP; see src/tensor/CMakeLists.txt
constexpr std::size_t kUsedThreads = 1;
#else
constexpr std::size_t kUsedThreads = 2;
#endif

TEST(ParallelFor, CallsBodyOnAllThreads) {
  const ThreadCount threads(2);
  std::mutex mutex;
  std::set<std::thread::id> seen;
  parallel_for(0, 2, 1, [&](std::int64_t, std::int64_t) {
    const std::lock_guard lock(mutex);
    seen.insert(std::this_thread::get_id());
  });
  EXPECT_THAT(seen, SizeIs(kUsedThreads));
}

TEST(ParallelFor, CoversEachIndexOnce) {
  for (const int count : {1, 2, 3}) {
    const ThreadCount threads(count);
    std::vector<int> calls(1000);
    parallel_for(0, 1000, 7, [&](std::int64_t begin, std::int64_t end) {
      for (auto i = begin; i < end; ++i) ++calls[static_cast<std::size_t>(i)];
    });
    EXPECT_THAT(calls, Each(1));
  }
}

TEST(ParallelFor, RethrowsAnExceptionOfABody) {
  const ThreadCount threads(2);
  EXPECT_THROW(parallel_for(0, 2, 1, [](std::int64_t, std::int64_t) { throw std::runtime_error("of a body"); }),
               std::runtime_error);
}

}  // namespace
}  // namespace easel
