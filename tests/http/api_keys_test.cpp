// API keys and the key file: which files are refused, and that the file can be replaced while the server runs.
#include "http/access/api_keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "core/text.h"
#include "easel/error.h"
#include "support/message_of.h"

namespace easel::http {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

// The SHA-256 of "abc" (the example of FIPS 180-4) and of "open sesame".
constexpr char kAbc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr char kSesame[] = "41ef4bb0b23661e66301aac36066912dac037827b4ae63a7b1165a5aa93ed4eb";

std::string entry(const std::string& name, const std::string& sha256, const std::string& more = "") {
  return concat(R"({"name":")", name, R"(","sha256":")", sha256, "\"", more, "}");
}
std::string file_of(const std::string& entries) {
  return concat(R"({"keys":[)", entries, "]}");
}

class KeyFile : public testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove(path_); }
  const std::string& write(const std::string& content) {
    std::ofstream(path_, std::ios::binary) << content;
    return path_;
  }
  std::string refusal(const std::string& content) {
    try {
      ApiKeys keys({}, write(content));
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  const std::string path_ =
      testing::TempDir() + "easel_keys_" + testing::UnitTest::GetInstance()->current_test_info()->name() + ".json";
};

TEST_F(KeyFile, InvalidFilesAreRejected) {
  const std::string good = entry("ann", kAbc);
  ASSERT_EQ(refusal(file_of(good)), "");
  for (const std::string& content :
       {std::string(), std::string("{"), std::string("[]"), std::string("{}"), std::string(R"({"keys":{}})"),
        std::string(R"({"keys":[]})"), std::string(R"({"keys":["x"]})"), std::string(R"({"keys":[null]})"),
        concat(R"({"version":1,"keys":[)", good, "]}"), file_of(good) + "x", std::string("\xff\xfe")}) {
    EXPECT_THAT(refusal(content), HasSubstr(path_)) << content;
  }
  for (const std::string& second : {entry("", kAbc),
                                    entry("two words", kSesame),
                                    entry("line\\nbreak", kSesame),
                                    entry(std::string(65, 'x'), kSesame),
                                    entry("bob", ""),
                                    entry("bob", std::string(kSesame).substr(1)),
                                    entry("bob", std::string(kSesame) + "0"),
                                    entry("bob", std::string(63, 'a') + "g"),
                                    entry("bob", "-1" + std::string(62, 'a')),
                                    std::string(R"({"sha256":"x"})"),
                                    concat(R"({"sha256":")", kSesame, "\"}"),
                                    std::string(R"({"name":"bob"})"),
                                    entry("ann", kSesame),
                                    entry("bob", kAbc),
                                    entry("bob", kSesame, R"(,"max_requests":0)"),
                                    entry("bob", kSesame, R"(,"max_requests":-1)"),
                                    entry("bob", kSesame, R"(,"max_requests":1.5)"),
                                    entry("bob", kSesame, R"(,"max_requests":"2")"),
                                    entry("bob", kSesame, R"(,"share":0)"),
                                    entry("bob", kSesame, R"(,"share":-1)"),
                                    entry("bob", kSesame, R"(,"share":1001)"),
                                    entry("bob", kSesame, R"(,"share":"NaN")"),
                                    entry("bob", kSesame, R"(,"operator":1)"),
                                    entry("bob", kSesame, R"(,"operator":"yes")")}) {
    EXPECT_THAT(refusal(file_of(good + "," + second)), HasSubstr("key 2")) << second;
  }
}

TEST_F(KeyFile, ErrorsNeverQuoteKeyMaterial) {
  const auto message = refusal(file_of(entry("ann", kAbc, R"(,"key":"my-secret-key")")));
  EXPECT_THAT(message, HasSubstr("`key`"));
  EXPECT_THAT(message, Not(HasSubstr("my-secret")));
  EXPECT_THAT(refusal(file_of(entry("ann", "my-secret-key"))), Not(HasSubstr("my-secret")));
}

TEST_F(KeyFile, MustBeARegularFileWithinTheSizeLimit) {
  EXPECT_THROW(ApiKeys({}, path_), Error) << "does not exist";
  EXPECT_THROW(ApiKeys({}, testing::TempDir()), Error) << "a folder";
  EXPECT_THROW(ApiKeys({}, "/dev/zero"), Error) << "a device";
  EXPECT_NE(refusal(file_of(entry("ann", kAbc)) + std::string(kMaxKeyFileBytes, ' ')), "");
}

TEST_F(KeyFile, FindReturnsThePrincipalOfTheKey) {
  ApiKeys keys({"given"}, write(file_of(entry("ann", kAbc) + "," +
                                        entry("bob", kSesame, R"(,"max_requests":3,"share":2.5,"operator":true)"))));
  EXPECT_TRUE(keys.required());
  const auto ann = keys.find("abc");
  ASSERT_TRUE(ann);
  EXPECT_EQ(ann->account, "ann");
  EXPECT_EQ(ann->share, 1.0);
  EXPECT_EQ(ann->max_requests, 0u);
  EXPECT_FALSE(ann->is_operator);
  const auto bob = keys.find("open sesame");
  ASSERT_TRUE(bob);
  EXPECT_EQ(bob->account, "bob");
  EXPECT_EQ(bob->share, 2.5);
  EXPECT_EQ(bob->max_requests, 3u);
  EXPECT_TRUE(bob->is_operator);
  const auto given = keys.find("given");
  ASSERT_TRUE(given);
  EXPECT_EQ(given->account, "api-key-1");
  EXPECT_FALSE(given->is_operator);
  for (const char* wrong : {"", "ab", "abcd", "Abc", kAbc, "give", "given "}) EXPECT_FALSE(keys.find(wrong)) << wrong;
}

TEST_F(KeyFile, IsReloadedWhenItChanges) {
  ApiKeys keys({}, write(file_of(entry("ann", kAbc))), /*reload_interval=*/0ms);
  ASSERT_TRUE(keys.find("abc"));
  write(file_of(entry("bob", kSesame)));  // at once, and of the same length: neither time nor size shows the change
  EXPECT_FALSE(keys.find("abc")) << "revoked";
  ASSERT_TRUE(keys.find("open sesame"));
  EXPECT_EQ(keys.find("open sesame")->account, "bob");
}

TEST_F(KeyFile, InvalidFileKeepsOldKeysAndLogsOnce) {
  ApiKeys keys({}, write(file_of(entry("ann", kAbc))), /*reload_interval=*/0ms);
  testing::internal::CaptureStderr();
  write(R"({"keys":[)");
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(keys.find("abc"));
  std::filesystem::remove(path_);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(keys.find("abc"));
  const auto log = testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 2) << log;
  EXPECT_THAT(log, HasSubstr("error"));
  write(file_of(entry("bob", kSesame)));
  EXPECT_TRUE(keys.find("open sesame"));
  EXPECT_FALSE(keys.find("abc"));
}

TEST_F(KeyFile, IsNotReloadedWithinTheInterval) {
  ApiKeys keys({}, write(file_of(entry("ann", kAbc))), /*reload_interval=*/1h);
  write(file_of(entry("bob", kSesame)));
  EXPECT_TRUE(keys.find("abc"));
}

TEST(ApiKeys, NotRequiredWhenNoneIsConfigured) {
  ApiKeys keys({}, "");
  EXPECT_FALSE(keys.required());
  EXPECT_FALSE(keys.find("abc"));
}

TEST(ApiKeys, RejectsKeysNotWritableInAHeader) {
  for (const char* key : {"", " ", "a b", "a\n", "caf\xc3\xa9"}) EXPECT_THROW(ApiKeys({"good", key}, ""), Error) << key;
}

TEST(ApiKeys, KeyWithACommaIsAnErrorThatNamesTheFile) {
  EXPECT_NE(message_of([] { ApiKeys({"x,long-secret"}, ""); }).find("--api-keys-file"), std::string::npos);
}

}  // namespace
}  // namespace easel::http
