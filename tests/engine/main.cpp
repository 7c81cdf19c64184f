// Quiet: thousands of requests fail here on purpose.
#include <gtest/gtest.h>

#include "core/log.h"

int main(int argc, char** argv) {
  easel::log::set_level(easel::log::Level::kOff);
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
