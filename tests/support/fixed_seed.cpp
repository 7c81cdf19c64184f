// Linked into test programs that draw random tensors. libtorch seeds its generator from the system's random numbers, so
// without this a test that compares with a limit would fail once in many runs, with numbers that nobody sees again.
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

namespace {

class SeedEachTest : public ::testing::EmptyTestEventListener {
  void OnTestStart(const ::testing::TestInfo&) override {
    auto generator = at::detail::getDefaultCPUGenerator();
    generator.set_current_seed(0);
  }
};

// The listeners own it.
const bool kListens = [] {
  ::testing::UnitTest::GetInstance()->listeners().Append(new SeedEachTest);
  return true;
}();

}  // namespace
