#include "core/digest.h"

#include <gtest/gtest.h>

namespace easel {
namespace {

// The vectors of FIPS 180-2, appendices A and B.
TEST(Digest, MatchesPublishedVectors) {
  Digest sha256;
  sha256.update("a");
  sha256.update("bc");
  EXPECT_EQ(sha256.finish_hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  Digest sha1(DigestKind::kSha1);
  sha1.update("abc");
  EXPECT_EQ(sha1.finish_hex(), "a9993e364706816aba3e25717850c26c9cd0d89d");
}

TEST(Digest, BytesAreThoseOfTheHexadecimalDigits) {
  const auto bytes = Digest().finish();
  ASSERT_EQ(bytes.size(), 32u);
  EXPECT_EQ(static_cast<unsigned char>(bytes.front()), 0xe3u) << "of no bytes";
  EXPECT_TRUE(Digest().finish_hex().starts_with("e3b0c44298fc1c149afbf4c8996fb924"));
}

}  // namespace
}  // namespace easel
