#include "core/plain_name.h"

#include <gtest/gtest.h>

namespace easel {
namespace {

TEST(PlainName, SpellingsOfANameAreOne) {
  for (const char* written : {"dpmpp_2m_karras", "DPM++ 2M Karras", "dpm++-2m_karras", "  dpm++  2m -_ karras "}) {
    EXPECT_EQ(plain_name(written), "dpmpp_2m_karras") << written;
  }
  EXPECT_EQ(plain_name("EulerDiscreteScheduler"), "eulerdiscretescheduler");
}

TEST(PlainName, OtherCharactersStay) {
  EXPECT_EQ(plain_name(""), "");
  EXPECT_EQ(plain_name(" -_"), "");
  EXPECT_EQ(plain_name("a.b\n\xc3\x84"), "a.b\n\xc3\x84");
}

}  // namespace
}  // namespace easel
