#include "core/normalize_name.h"

#include <gtest/gtest.h>

namespace easel {
namespace {

TEST(NormalizeName, SpellingVariantsNormalizeToOneName) {
  for (const char* written : {"dpmpp_2m_karras", "DPM++ 2M Karras", "dpm++-2m_karras", "  dpm++  2m -_ karras "}) {
    EXPECT_EQ(normalize_name(written), "dpmpp_2m_karras") << written;
  }
  EXPECT_EQ(normalize_name("EulerDiscreteScheduler"), "eulerdiscretescheduler");
}

TEST(NormalizeName, OtherCharactersAreUnchanged) {
  EXPECT_EQ(normalize_name(""), "");
  EXPECT_EQ(normalize_name(" -_"), "");
  EXPECT_EQ(normalize_name("a.b\n\xc3\x84"), "a.b\n\xc3\x84");
}

}  // namespace
}  // namespace easel
