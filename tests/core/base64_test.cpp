#include "core/base64.h"

#include <gtest/gtest.h>

#include <string>

namespace easel {
namespace {

TEST(Base64, VectorsOfRfc4648) {
  EXPECT_EQ(base64_encode(""), "");
  EXPECT_EQ(base64_encode("f"), "Zg==");
  EXPECT_EQ(base64_encode("fo"), "Zm8=");
  EXPECT_EQ(base64_encode("foo"), "Zm9v");
  EXPECT_EQ(base64_encode("foob"), "Zm9vYg==");
  EXPECT_EQ(base64_encode("fooba"), "Zm9vYmE=");
  EXPECT_EQ(base64_encode("foobar"), "Zm9vYmFy");
}

TEST(Base64, StandardAlphabetAndHighBytes) {
  EXPECT_EQ(base64_encode("\xFB\xEF\xBE\xFF\xFF\xFF"), "++++////");
  EXPECT_EQ(base64_encode(std::string_view("\0\0\0\0", 4)), "AAAAAA==");
}

/// Decodes bit by bit, as the definition says, up to the padding.
std::string decode(const std::string& text) {
  const std::string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bits;
  for (const char c : text.substr(0, text.find('='))) {
    for (int k = 5; k >= 0; --k) bits += alphabet.find(c) >> k & 1 ? '1' : '0';
  }
  std::string bytes;
  for (std::size_t i = 0; i + 8 <= bits.size(); i += 8) {
    bytes += static_cast<char>(std::stoi(bits.substr(i, 8), nullptr, 2));
  }
  return bytes;
}

TEST(Base64, RoundTripsEveryByteAtEveryPosition) {
  std::string bytes;
  for (int i = 0; i < 3 * 257; ++i) {
    bytes += static_cast<char>(i * 167 + i / 256);
    const auto text = base64_encode(bytes);
    ASSERT_EQ(text.size() % 4, 0u);
    ASSERT_EQ(decode(text), bytes);
    ASSERT_EQ(base64_decode(text), bytes);
  }
}

TEST(Base64, NonCanonicalEncodingsAreRejected) {
  EXPECT_EQ(base64_decode(""), "");
  EXPECT_EQ(base64_decode("++++////"), "\xFB\xEF\xBE\xFF\xFF\xFF");
  for (const char* text : {"A", "AA", "AAA", "=", "====", "A===", "AA=A", "AA==AAAA", "A=AA", "AAA\n", " AAA", "AA-_",
                           "AAAA=", "AB==", "AAB=", "\xff\xff\xff\xff"}) {
    EXPECT_EQ(base64_decode(text), std::nullopt) << text;
  }
}

TEST(Base64, CustomarySpellingsAreDecoded) {
  const std::string bytes = "\xFB\xEF\xBE\xFF\xFF\xFF and more text than fits into one line of 76 characters";
  const auto text = base64_encode(bytes);
  EXPECT_EQ(base64_decode_any(text), bytes);
  std::string url_safe, lines;
  for (std::size_t i = 0; i < text.size(); ++i) {
    url_safe += text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i];
    lines += text.substr(i, 1) + (i % 20 == 19 ? "\r\n" : "");
  }
  EXPECT_NE(url_safe, text);
  EXPECT_EQ(base64_decode_any(url_safe), bytes);
  EXPECT_EQ(base64_decode_any(lines), bytes);
  for (std::size_t size = 0; size < 20; ++size) {
    auto padded = base64_encode(bytes.substr(0, size));
    EXPECT_EQ(base64_decode_any(padded), bytes.substr(0, size));
    EXPECT_EQ(base64_decode_any(padded.substr(0, padded.find('='))), bytes.substr(0, size)) << "without padding";
  }
  EXPECT_EQ(base64_decode_any("AB=="), std::string(1, '\0')) << "with unused bits";
  EXPECT_EQ(base64_decode_any(" \t\n\v\f\r"), "");
  for (const char* wrong : {"A", "AAAAA", "=", "====", "AAA==", "AA=", "AA==AA", "A=AA", "AA.A", "AA\x80\x80"})
    EXPECT_EQ(base64_decode_any(wrong), std::nullopt) << wrong;
}

}  // namespace
}  // namespace easel
