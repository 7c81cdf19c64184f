// Checks the lines on standard error, in both formats, for messages that try to forge lines.
#include "core/log.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <regex>
#include <string>

#include "easel/error.h"

namespace easel::log {
namespace {

std::string written(const std::function<void()>& act) {
  testing::internal::CaptureStderr();
  act();
  return testing::internal::GetCapturedStderr();
}

class Log : public testing::Test {
 protected:
  void TearDown() override {
    set_format(Format::kText);
    set_level(Level::kInfo);
  }
};

TEST_F(Log, UnknownLevelAndFormatNamesAreRejected) {
  for (const char* name : {"", "INFO", "warn", "verbose", "debug "}) EXPECT_THROW(parse_level(name), Error) << name;
  for (const char* name : {"", "JSON", "xml", "text "}) EXPECT_THROW(parse_format(name), Error) << name;
  EXPECT_EQ(parse_level("warning"), Level::kWarning);
  EXPECT_EQ(parse_format("text"), Format::kText);
  EXPECT_EQ(parse_format("json"), Format::kJson);
}

TEST_F(Log, ControlCharactersAreEscapedInMessagesAndFields) {
  const std::string hostile = "a\nb\r\x1b[31m\x7f\"}\\";
  for (const auto format : {Format::kText, Format::kJson}) {
    set_format(format);
    const auto line = written([&] { info(hostile, {{"path", hostile}}); });
    EXPECT_EQ(line.find('\n'), line.size() - 1) << line;
    for (const char c : line.substr(0, line.size() - 1))
      EXPECT_TRUE(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
  }
  const auto object = nlohmann::json::parse(written([&] { info(hostile, {{"path", hostile}}); }));
  EXPECT_EQ(object["message"], hostile);
  EXPECT_EQ(object["path"], hostile);
}

TEST_F(Log, InvalidUtf8IsReplacedInJson) {
  set_format(Format::kJson);
  const auto object = nlohmann::json::parse(written([] { info("\xff\xfe", {{"path", "/\xc3"}}); }));
  EXPECT_EQ(object["message"], "\xef\xbf\xbd\xef\xbf\xbd");
  EXPECT_EQ(object["path"], "/\xef\xbf\xbd");
}

TEST_F(Log, TextFormatQuotesValuesWhereNeeded) {
  const auto line = written([] {
    warning("request",
            {{"status", 200}, {"seconds", 0.25}, {"path", "/a b"}, {"empty", ""}, {"quote", "a\"b"}, {"id", "x"}});
  });
  EXPECT_TRUE(std::regex_match(
      line, std::regex(R"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} .*warning.* request status=200 seconds=0\.25 )"
                       R"(path="/a b" empty="" quote="a\\"b" id=x\n)")))
      << line;
}

TEST_F(Log, JsonFormatWritesOneObjectPerLine) {
  set_format(Format::kJson);
  const auto line = written(
      [] { error("request", {{"status", 200}, {"seconds", 0.25}, {"big", std::int64_t{1} << 60}, {"path", "/a b"}}); });
  const auto object = nlohmann::ordered_json::parse(line);
  EXPECT_TRUE(std::regex_match(object["time"].get<std::string>(),
                               std::regex(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d)")));
  EXPECT_EQ(object["level"], "error");
  EXPECT_EQ(object["message"], "request");
  EXPECT_EQ(object["status"], 200);
  EXPECT_EQ(object["seconds"], 0.25);
  EXPECT_EQ(object["big"], std::int64_t{1} << 60);
  EXPECT_EQ(object["path"], "/a b");
  EXPECT_EQ(object.size(), 7u);
}

TEST_F(Log, NonFiniteNumbersAreNullInJson) {
  set_format(Format::kJson);
  const auto line = written([] { info("x", {{"a", std::nan("")}, {"b", std::numeric_limits<double>::infinity()}}); });
  EXPECT_TRUE(nlohmann::json::parse(line)["a"].is_null());
  EXPECT_TRUE(nlohmann::json::parse(line)["b"].is_null());
}

TEST_F(Log, WritesNothingBelowItsLevel) {
  set_level(Level::kWarning);
  EXPECT_EQ(written([] { info("x"); }), "");
  EXPECT_NE(written([] { warning("x"); }), "");
  set_level(Level::kOff);
  EXPECT_EQ(written([] { error("x"); }), "");
}

}  // namespace
}  // namespace easel::log
