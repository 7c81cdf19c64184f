#include "tensor/free_memory.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <limits>

namespace {

int purges = 0;

}  // namespace

// Stands in for jemalloc's, which the program is linked with.
extern "C" int mallctl(const char* name, void*, std::size_t*, void*, std::size_t) {
  purges += std::string(name) == "arena.4096.purge";
  return 0;
}

namespace easel {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kMiB = 1 << 20, kMost = std::numeric_limits<std::int64_t>::max();

TEST(FreeMemory, HostMemoryIsPositiveAndAtMostTotal) {
  const auto free = free_memory(c10::Device(c10::kCPU));
  EXPECT_GT(free, kMiB);
  EXPECT_LT(free, static_cast<std::int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE));
}

TEST(FreeMemory, TotalIsAtLeastWhatIsFreeAndDoesNotChange) {
  const c10::Device host(c10::kCPU);
  const auto capacity = total_memory(host);
  EXPECT_GE(capacity, free_memory(host) / 2) << "the machine's memory, or that of its control groups";
  EXPECT_LE(capacity, static_cast<std::int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE));
  EXPECT_EQ(capacity, total_memory(host));
}

TEST(FreeMemory, LowMemoryReleasesAllocatorCache) {
  purges = 0;
  free_memory(c10::Device(c10::kCPU), kMiB);
  EXPECT_EQ(purges, 0) << "there is enough";
  free_memory(c10::Device(c10::kCPU), kMost);
  EXPECT_EQ(purges, 1);
}

class ControlGroups : public ::testing::Test {
 protected:
  ControlGroups() : mount_(fs::path(::testing::TempDir()) / "easel_cgroup") { fs::remove_all(mount_); }

  void write(const std::string& file, const std::string& text) {
    fs::create_directories((mount_ / file).parent_path());
    std::ofstream(mount_ / file) << text << '\n';
  }
  std::int64_t free(const std::string& processes) { return free_memory_in_cgroups(mount_.string(), processes); }

  fs::path mount_;
};

TEST_F(ControlGroups, TightestEnclosingLimitApplies) {
  write("a/memory.max", "1000");
  write("a/memory.current", "700");
  write("a/memory.stat", "anon 500\ninactive_file 50");
  write("a/b/memory.max", "max");
  write("a/b/memory.current", "600");
  write("elsewhere/memory.max", "1");
  write("elsewhere/memory.current", "1");
  EXPECT_EQ(free("0::/a/b\n"), 350) << "pages of files can leave";
  write("a/b/memory.max", "610");
  EXPECT_EQ(free("0::/a/b\n"), 10);
  EXPECT_EQ(free("0::/\n"), kMost) << "without a limit, all memory counts";
}

TEST_F(ControlGroups, TotalIsTheTightestLimitWhateverIsInUse) {
  write("a/memory.max", "1000");
  write("a/memory.current", "700");
  write("a/b/memory.max", "max");
  EXPECT_EQ(memory_limit_of_cgroups(mount_.string(), "0::/a/b\n"), 1000);
  EXPECT_EQ(memory_limit_of_cgroups(mount_.string(), "0::/elsewhere\n"), kMost);
  EXPECT_GE(total_memory(c10::kCPU), free_memory(c10::kCPU));
}

TEST_F(ControlGroups, ContainerGroupIsTheMountRoot) {
  write("memory.max", "500");
  write("memory.current", "600");
  EXPECT_EQ(free("0::/a/path/of/the/host\n"), 0);
}

TEST_F(ControlGroups, Version1IsSupported) {
  write("memory/a/memory.limit_in_bytes", "1000");
  write("memory/a/memory.usage_in_bytes", "100");
  write("memory/a/memory.stat", "inactive_file 7\ntotal_inactive_file 20");
  EXPECT_EQ(free("5:devices:/\n4:cpu,memory:/a\n0::/\n"), 920);
  EXPECT_EQ(free(""), kMost);
}

}  // namespace
}  // namespace easel
