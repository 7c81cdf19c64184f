// The charsmap of a sentencepiece model: what it replaces, and every way in which it can be damaged.
#include "tokenizers/unigram/precompiled_charsmap.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "easel/error.h"
#include "sentencepiece_samples.h"

namespace easel {
namespace {

using easel::testing::charsmap;
using easel::testing::charsmap_units;
using easel::testing::little_endian;
using ::testing::HasSubstr;

void expect_corrupt(const std::string& bytes, const std::string& what) {
  try {
    PrecompiledCharsmap(bytes, "the table");
    ADD_FAILURE() << "no error, expected: " << what;
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kCorruptData);
    EXPECT_THAT(e.what(), HasSubstr("the table"));
    EXPECT_THAT(e.what(), HasSubstr(what));
  }
}

TEST(PrecompiledCharsmap, ReplacesCharacters) {
  const PrecompiledCharsmap map(charsmap(charsmap_units()), "the table");
  EXPECT_EQ(map.normalize(""), "");
  EXPECT_EQ(map.normalize("ABBA \u00B5m"), "aBBa \u03BCm");
}

TEST(PrecompiledCharsmap, ShortClusterIsReplacedAsAWhole) {
  const PrecompiledCharsmap map(charsmap(charsmap_units()), "the table");
  EXPECT_EQ(map.normalize("A\u0301"), "a") << "3 bytes: the accent is lost";
  EXPECT_EQ(map.normalize("A\u0301\u0301"), "a") << "5 bytes";
  EXPECT_EQ(map.normalize("A\u0301\u0301\u0301"), "a\u0301\u0301\u0301") << "7 bytes: character by character";
  EXPECT_EQ(map.normalize("e\u0301"), "e\u0301");
}

TEST(PrecompiledCharsmap, ZeroByteEndsAKey) {
  const PrecompiledCharsmap map(charsmap(charsmap_units()), "the table");
  EXPECT_EQ(map.normalize(std::string("\0A", 2)), std::string("\0a", 2));
}

TEST(PrecompiledCharsmap, EmptyTableChangesNothing) {
  EXPECT_EQ(PrecompiledCharsmap("", "the table").normalize("A\u0301"), "A\u0301");
  EXPECT_EQ(PrecompiledCharsmap(identity_charsmap(), "the table").normalize("A\u0301"), "A\u0301");
}

TEST(PrecompiledCharsmap, DamagedSizesAreRejected) {
  const auto whole = charsmap(charsmap_units());
  expect_corrupt("abc", "has 3 bytes");
  expect_corrupt(little_endian(0) + whole.substr(4), "the trie has 0");
  expect_corrupt(little_endian(1020) + whole.substr(4), "expected a multiple of 1024");
  expect_corrupt(little_endian(2048) + whole.substr(4), "the trie has 2048");
  expect_corrupt(little_endian(0xFFFFFC00) + whole.substr(4), "the trie has 4294966272");
  for (std::size_t size = 1; size < 4 + 1024; size += 101) expect_corrupt(whole.substr(0, size), "");
}

TEST(PrecompiledCharsmap, DamagedReplacementsAreRejected) {
  expect_corrupt(charsmap(charsmap_units(), ""), "do not end with a zero byte");
  expect_corrupt(charsmap(charsmap_units(), "a"), "do not end with a zero byte");
  expect_corrupt(charsmap(charsmap_units(), std::string_view("a\0\xFF\0", 4)), "are not UTF-8");
  expect_corrupt(charsmap(charsmap_units(), std::string_view("a\0", 2)), "expected the offset of a replacement");
  expect_corrupt(charsmap(charsmap_units(), std::string_view("a\u03BC\0", 4)), "expected the offset of a replacement");
}

TEST(PrecompiledCharsmap, DamagedTriesAreRejected) {
  auto units = charsmap_units();
  units[0] = 256u << 10;  // the children of the root are behind the end
  expect_corrupt(charsmap(units), "unit 0 of the trie leads to 256");
  units = charsmap_units();
  units[2] = 0;  // a value without its mark
  expect_corrupt(charsmap(units), "unit 2 of the trie is 0");
  units = charsmap_units();
  units[1 ^ 0xC2] = 0xC2 | (1u ^ 0xC2 ^ 1u) << 10;  // its children are those of the root
  expect_corrupt(charsmap(units), "closes a circle");
  units = charsmap_units();
  units[0] = 0;  // the root is its own parent
  units[0xC2] = 0xC2 | 0xC2u << 10;
  expect_corrupt(charsmap(units), "closes a circle");
}

TEST(PrecompiledCharsmap, DecodesBase64) {
  EXPECT_EQ(decode_charsmap_base64("", "x"), "");
  EXPECT_EQ(decode_charsmap_base64("AA==", "x"), std::string(1, '\0'));
  EXPECT_EQ(decode_charsmap_base64("+/8=", "x"), "\xFB\xFF");
  EXPECT_EQ(decode_charsmap_base64("YWJj", "x"), "abc");
  for (const char* text : {"A", "AAA", "A===", "AA=A", "AA\n=", "A A=", "====", "AAAA\xC3\xA9=="}) {
    EXPECT_THROW(decode_charsmap_base64(text, "x"), Error) << text;
  }
}

}  // namespace
}  // namespace easel
