// The text parts of a form, compared with equivalent JSON.
#include "http/openai/fields/form_fields.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "http/wire/http_error.h"

namespace easel::http {
namespace {

using nlohmann::json;

TEST(FormFields, ConvertToEquivalentJson) {
  const std::pair<FormPart, json> cases[] = {
      {{"prompt", "a cat"}, "a cat"},
      {{"prompt", ""}, ""},
      {{"prompt", "12"}, "12"},
      {{"prompt", "true"}, "true"},
      {{"prompt", "a\r\nb\rc\nd\r\n"}, "a\nb\rc\nd\n"},
      {{"n", "2"}, 2},
      {{"n", "-1"}, -1},
      {{"n", "2.5"}, 2.5},
      {{"n", "abc"}, "abc"},
      {{"n", " 2"}, " 2"},
      {{"n", "+2"}, "+2"},
      {{"n", "0x2"}, "0x2"},
      {{"n", "1e400"}, "1e400"},
      {{"n", "99999999999999999999"}, 1e20},
      {{"strength", "0.5"}, 0.5},
      {{"guidance_scale", "NaN"}, "NaN"},
      {{"guidance_scale", "inf"}, "inf"},
      {{"seed", "9007199254740993"}, "9007199254740993"},
      {{"size", "512x512"}, "512x512"},
      {{"stream", "True"}, true},
      {{"stream", "false"}, false},
      {{"stream", "yes"}, "yes"},
      {{"timesteps", "[999, 499.5]"}, {999, 499.5}},
      {{"timesteps", "999,499.5"}, {999, 499.5}},
      {{"timesteps", "999"}, json::array({999})},
      {{"timesteps", "[999"}, "[999"},
      {{"timesteps", "many"}, "many"},
      {{"sigmas", "[[1]]"}, json::array({json::array({1})})},
      {{"original_size", "[1024, 768]"}, {1024, 768}},
      {{"loras", "ink"}, json::array({"ink"})},
      {{"loras", R"({"name":"ink","weight":0.5})"}, json::array({json{{"name", "ink"}, {"weight", 0.5}}})},
      {{"loras", R"(["ink",{"name":"oil"}])"}, {"ink", json{{"name", "oil"}}}},
      {{"quality", "hd"}, "hd"},
      {{"whatever", "x"}, "x"}};
  for (const auto& [part, value] : cases) {
    EXPECT_EQ(form_to_json({part}), json({{part.name, value}})) << part.name << " = " << part.content;
  }
}

TEST(FormFields, EmptyValuesAreAbsent) {
  for (const char* name :
       {"n", "size", "response_format", "model", "seed", "strength", "loras", "timesteps", "stream"}) {
    EXPECT_EQ(form_to_json({{name, ""}}), json::object()) << name;
  }
}

TEST(FormFields, LastDuplicateNameWins) {
  EXPECT_EQ(form_to_json({{"n", "1"}, {"n", "2"}}), json({{"n", 2}}));
}

TEST(FormFields, ArraysAcceptEveryClientSpelling) {
  EXPECT_EQ(form_to_json({{"timesteps[]", "999"}, {"prompt", "x"}, {"timesteps[]", "1"}}),
            json({{"timesteps", {999, 1}}, {"prompt", "x"}}));
  EXPECT_EQ(form_to_json({{"original_size[]", "1024"}, {"original_size[]", "768"}}),
            json({{"original_size", {1024, 768}}}));
  EXPECT_EQ(form_to_json({{"loras[]", "7"}, {"loras[]", R"({"name":"oil"})"}}),
            json({{"loras", {"7", json{{"name", "oil"}}}}}));
  EXPECT_EQ(form_to_json({{"loras[][name]", "7"}, {"loras[][weight]", "0.5"}, {"loras[][name]", "oil"}}),
            json({{"loras", {json{{"name", "7"}, {"weight", 0.5}}, json{{"name", "oil"}}}}}));
  EXPECT_EQ(form_to_json({{"loras", "a"}, {"loras[]", "b"}}), json({{"loras", {"a", "b"}}}));
  EXPECT_EQ(form_to_json({{"timesteps[]", "x"}}), json({{"timesteps", json::array({"x"})}}))
      << "the reader of the field refuses it";
  EXPECT_EQ(form_to_json({{"tags[]", "x"}}), json({{"tags[]", "x"}})) << "an unknown field is not read";
  for (const char* name : {"loras[0]", "loras[", "loras[][", "timesteps[a]"}) {
    try {
      form_to_json({{name, "1"}});
      ADD_FAILURE() << name;
    } catch (const HttpFailure& failure) {
      EXPECT_EQ(failure.error().status, 400);
      EXPECT_FALSE(failure.error().param.empty());
    }
  }
}

TEST(FormFields, InvalidUtf8Returns400) {
  EXPECT_EQ(form_to_json({{"prompt", "caf\xc3\xa9 \xf0\x9f\x98\x80"}})["prompt"], "caf\xc3\xa9 \xf0\x9f\x98\x80");
  for (const char* bad : {"\xff", "caf\xe9", "\xc3", "\xed\xa0\x80", "\xc0\x80"}) {
    try {
      form_to_json({{"prompt", bad}});
      ADD_FAILURE() << bad;
    } catch (const HttpFailure& failure) {
      EXPECT_EQ(failure.error().status, 400);
      EXPECT_EQ(failure.error().param, "prompt");
    }
  }
}

}  // namespace
}  // namespace easel::http
