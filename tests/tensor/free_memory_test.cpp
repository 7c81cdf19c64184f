#include "tensor/free_memory.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace easel {
namespace {

TEST(FreeMemory, OfAHostIsSomethingAndNotMoreThanItHas) {
  const auto free = free_memory(c10::Device(c10::kCPU));
  EXPECT_GT(free, 1 << 20);
  EXPECT_LT(free, static_cast<std::int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE));
}

}  // namespace
}  // namespace easel
