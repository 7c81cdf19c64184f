#include "core/config.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <limits>

#include "support/message_of.h"

namespace easel {
namespace {

using nlohmann::json;

TEST(Config, NullCountsAsAbsent) {
  Config config(json{{"a", nullptr}}, "unet/config.json");
  EXPECT_EQ(config.get<std::int64_t>("a", 7), 7);
  EXPECT_FALSE(config.has("a"));
}

TEST(Config, WrongTypeNamesFileFieldAndValue) {
  Config config(json{{"in_channels", "four"}}, "unet/config.json");
  EXPECT_EQ(message_of([&] { config.get<std::int64_t>("in_channels"); }),
            "unet/config.json: `in_channels` is \"four\", expected an integer");
  EXPECT_THROW(Config(json{{"x", 1.5}}, "c").get<std::int64_t>("x"), Error);
  EXPECT_THROW(Config(json{{"x", 1}}, "c").get<bool>("x"), Error);
}

TEST(Config, WholeFloatsAreIntegersAndHugeOnesAreNot) {
  EXPECT_EQ(Config(json{{"x", 64.0}}, "c").get<std::int64_t>("x"), 64);
  EXPECT_THROW(Config(json{{"x", 1e300}}, "c").get<std::int64_t>("x"), Error);
  EXPECT_THROW(Config(json{{"x", UINT64_MAX}}, "c").get<std::int64_t>("x"), Error);
}

TEST(Config, ReadsPythonInfinityAndNan) {
  const auto path = testing::TempDir() + "/config_test_python.json";
  std::ofstream(path)
      << R"({"low": -Infinity, "list": [Infinity, 1], "nan": NaN, "text": "-Infinity \" NaN, \\", "x": 2})";
  auto config = Config::read_file(path, "scheduler_config.json");
  EXPECT_EQ(config.get<double>("low"), -std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(config.get<double>("nan")));
  EXPECT_EQ(config.get<std::string>("text"), "-Infinity \" NaN, \\");
  EXPECT_EQ(config.get<std::int64_t>("x"), 2);
  EXPECT_THROW(config.get<std::int64_t>("low"), Error);
  std::ofstream(path) << R"({"low": Infinit})";
  EXPECT_THROW(Config::read_file(path, "scheduler_config.json"), Error);
}

TEST(Config, GetListRepeatsASingleValueAndChecksTheLength) {
  Config config(json{{"one", 8}, {"many", {5, 10, 20}}}, "c");
  EXPECT_EQ(config.get_list<std::int64_t>("one", 3, 0), (std::vector<std::int64_t>{8, 8, 8}));
  EXPECT_EQ(config.get_list<std::int64_t>("many", 3, 0), (std::vector<std::int64_t>{5, 10, 20}));
  EXPECT_EQ(config.get_list<std::int64_t>("none", 2, 9), (std::vector<std::int64_t>{9, 9}));
  EXPECT_EQ(message_of([&] { config.get_list<std::int64_t>("many", 4, 0); }), "c: `many` has 3 entries, expected 4");
}

TEST(Config, FinishNamesUnreadFields) {
  Config config(json{{"read", 1}, {"_note", 2}, {"null", nullptr}, {"harmless", 3}, {"surprise", true}}, "c");
  config.get<std::int64_t>("read");
  config.ignore({"harmless"});
  EXPECT_EQ(message_of([&] { config.finish(); }), "c: easel does not know `surprise` = true");
}

TEST(Config, RequireErrorListsSupportedValues) {
  Config config(json{{"act_fn", "tanh"}}, "c");
  config.require("absent", {"x"});
  EXPECT_EQ(message_of([&] { config.require("act_fn", {"silu", "swish"}); }),
            "c: `act_fn` is \"tanh\"; easel supports \"silu\" or \"swish\"");
}

TEST(Config, FileErrorsNameTheFile) {
  EXPECT_EQ(message_of([] { Config::read_file("/nowhere/config.json", "vae/config.json"); }),
            "vae/config.json is missing");
}

std::string error_in_file(const std::string& contents) {
  const auto path = testing::TempDir() + "/config_test_damaged.json";
  std::ofstream(path) << contents;
  return message_of([&] { Config::read_file(path, "c"); });
}

TEST(Config, EachParseErrorHasItsOwnMessage) {
  EXPECT_EQ(error_in_file(""), "c is empty");
  EXPECT_EQ(error_in_file("{\n\"a\": 1,\n}"), "c is not valid JSON in line 3");
  EXPECT_EQ(error_in_file("{\"low\": -Infinity,\n// a comment\n\"a\": 1}"), "c is not valid JSON in line 2");
  EXPECT_EQ(error_in_file("{\"a\": 1e999}"), "c contains a number that is too large");
  EXPECT_EQ(error_in_file("[]"), "c is not a JSON object");
}

// Copying or printing such a value would overflow the stack.
TEST(Config, TooDeeplyNestedJsonIsRejected) {
  const auto nested = [](std::size_t depth) {
    return "{\"a\":" + std::string(depth, '[') + std::string(depth, ']') + "}";
  };
  EXPECT_EQ(error_in_file(nested(60)), "no error");
  for (const std::size_t depth : {100, 1'000'000}) {
    EXPECT_EQ(error_in_file(nested(depth)), "c is nested deeper than 64 levels");
  }
}

TEST(Config, FoldersAndPipesAreRejectedWithoutBlocking) {
  EXPECT_EQ(message_of([] { Config::read_file(testing::TempDir(), "c"); }), "c is a folder, expected a file");
  const auto pipe = testing::TempDir() + "/config_test_pipe";
  std::remove(pipe.c_str());
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(message_of([&] { Config::read_file(pipe, "c"); }), "c is not a file, expected a file");
}

}  // namespace
}  // namespace easel
