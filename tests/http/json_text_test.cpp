// Bodies of every unusual and hostile kind.
#include "http/wire/json_text.h"

#include <gtest/gtest.h>

#include <chrono>

#include "http/wire/http_error.h"

namespace easel::http {
namespace {

using namespace std::string_literals;
using nlohmann::json;

bool refused(const std::string& text) {
  try {
    parse_json_object(text);
  } catch (const HttpFailure& failure) {
    EXPECT_EQ(failure.error().status, 400);
    EXPECT_EQ(failure.error().code, "") << "null, as OpenAI has it for bodies that are not JSON";
    EXPECT_FALSE(failure.error().close) << "the connection can go on";
    return true;
  }
  return false;
}

TEST(JsonBody, AcceptsEveryJsonStyle) {
  const json expected = {{"prompt", "hi \xc3\xa9\xf0\x9f\x98\x80/"}, {"n", 2}};
  for (const char* text :
       {R"({"prompt":"hi é😀/","n":2})", R"({"prompt": "hi \u00e9\ud83d\ude00\/", "n": 2})",
        "{\n  \"prompt\": \"hi é😀/\",\r\n\t\"n\": 2\n}\n", "\xEF\xBB\xBF{\"n\":2,\"prompt\":\"hi é😀/\"}"}) {
    EXPECT_EQ(parse_json_object(text), expected) << text;
  }
}

TEST(JsonBody, LastDuplicateKeyWins) {
  EXPECT_EQ(parse_json_object(R"({"n":1,"m":0,"n":2})"), json({{"n", 2}, {"m", 0}}));
  EXPECT_EQ(parse_json_object(R"({"n":{"a":1},"n":[]})"), json({{"n", json::array()}}));
}

TEST(JsonBody, RejectsNulBytesWhereverTheyAre) {
  for (const auto& text :
       {"{\"a\":1}\0"s, "{\"a\":1}\0{}"s, "{\"a\":1}\n\0\0"s, "\0{\"a\":1}"s, "{\0}"s, "{\"a\":\"x\0y\"}"s}) {
    EXPECT_TRUE(refused(text)) << text;
    EXPECT_FALSE(parse_json_value(text)) << text;
  }
  EXPECT_EQ(parse_json_object(R"({"a":"\u0000"})")["a"], "\0"s) << "written as an escape it is an ordinary character";
}

TEST(JsonBody, RejectsInvalidJson) {
  for (const char* text : {"",
                           " ",
                           "{",
                           "}",
                           "{\"a\":1",
                           "{\"a\":1}x",
                           "{\"a\":1}{}",
                           "{'a':1}",
                           "{a:1}",
                           "{\"a\":01}",
                           "{\"a\":NaN}",
                           "{\"a\":Infinity}",
                           "{\"a\":.5}",
                           "{\"a\":1,}",
                           "prompt=cat",
                           "{\"a\":\"\x01\"}",
                           "{\"a\":\"line\nbreak\"}",
                           "{\"a\":tru}",
                           "// c\n{}",
                           "\xEF\xBB\xBF",
                           "\xEF\xBB{}"}) {
    EXPECT_TRUE(refused(text)) << text;
  }
}

TEST(JsonBody, RejectsNonObjects) {
  for (const char* text : {"[]", "\"a\"", "1", "null", "true", "[{\"prompt\":\"a\"}]"})
    EXPECT_TRUE(refused(text)) << text;
}

TEST(JsonBody, RejectsNonUtf8Encodings) {
  EXPECT_TRUE(refused("\xFF\xFE{\0}\0"s)) << "UTF-16 with a mark";
  EXPECT_TRUE(refused("{\0}\0"s)) << "UTF-16 without";
  EXPECT_TRUE(refused("{\"prompt\":\"caf\xe9\"}")) << "Latin-1";
  EXPECT_TRUE(refused("{\"prompt\":\"\xc0\xaf\"}")) << "an overlong form";
  EXPECT_TRUE(refused("{\"prompt\":\"\xed\xa0\x80\"}")) << "a surrogate in UTF-8";
  EXPECT_TRUE(refused("{\"prompt\":\"\xf4\x90\x80\x80\"}")) << "beyond U+10FFFF";
  EXPECT_TRUE(refused("{\"prompt\":\"\xf0\x9f\x98"));
}

TEST(JsonBody, RefusesLoneSurrogates) {
  for (const char* escape :
       {R"(\ud800)", R"(\udc00)", R"(\ud800x)", R"(\ud800\n)", R"(\ud800\ud800)", R"(\ud8)", R"(\uzzzz)"}) {
    EXPECT_TRUE(refused(std::string("{\"prompt\":\"") + escape + "\"}")) << escape;
  }
}

TEST(JsonBody, NestingDepthIsBounded) {
  const auto nested = [](int levels) {  // arrays within the object, which is a level itself
    return "{\"a\":" + std::string(levels, '[') + std::string(levels, ']') + "}";
  };
  EXPECT_NO_THROW(parse_json_object(nested(63)));
  EXPECT_TRUE(refused(nested(64)));
  EXPECT_TRUE(refused(nested(200'000)));
  EXPECT_TRUE(refused(std::string(500'000, '[')));
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += "{\"a\":";
  EXPECT_TRUE(refused(objects));
}

std::string list_of(std::size_t count, const std::string& value) {
  std::string text = "{\"a\":[";
  for (std::size_t i = 0; i < count; ++i) text += (i > 0 ? "," : "") + value;
  return text + "]}";
}

TEST(JsonBody, NumberOfValuesIsBounded) {
  EXPECT_EQ(parse_json_object(list_of(kMaxJsonValues - 2, "1"))["a"].size(), kMaxJsonValues - 2);
  for (const char* value : {"1", "{}", "[]", "\"\"", "{\"b\":null}"}) {
    EXPECT_TRUE(refused(list_of(kMaxJsonValues - 1, value))) << value;
  }
}

// nlohmann's parser with a callback took minutes for this.
TEST(JsonBody, ManyEmptyObjectsAreRefusedInLinearTime) {
  const auto text = list_of(1'000'000, "{}");
  const auto start = std::chrono::steady_clock::now();
  EXPECT_TRUE(refused(text));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
}

TEST(JsonBody, NestedListsAndObjectsKeepTheirOrder) {
  const char* text = R"({"a":[1,[2,{"b":[3,4],"c":{}}],5],"d":{"e":[{"f":6},{"f":-7}]},"g":true,"h":1.5})";
  EXPECT_EQ(parse_json_object(text), json::parse(text));
}

TEST(JsonBody, SurvivesHugeKeysAndNumbers) {
  EXPECT_TRUE(refused(R"({"n":1e400})"));
  EXPECT_TRUE(refused("{\"n\":" + std::string(400'000, '9') + "}"));
  EXPECT_EQ(parse_json_object("{\"" + std::string(900'000, 'k') + "\":1}").size(), 1u);
  EXPECT_TRUE(parse_json_object(R"({"n":99999999999999999999})")["n"].is_number_float());
}

TEST(JsonText, KeepsKeyOrderAndReplacesInvalidUtf8) {
  EXPECT_EQ(json_text({{"z", 1}, {"a", "x\xff"}}), "{\"z\":1,\"a\":\"x\xEF\xBF\xBD\"}");
}

}  // namespace
}  // namespace easel::http
