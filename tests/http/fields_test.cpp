// What all fields have in common; the values of each field are in openai_images_test and request_fields_test.
#include "http/wire/fields.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace easel::http {
namespace {

using nlohmann::json;

TEST(Fields, OnlyIsNullDistinguishesNullFromAbsent) {
  const json object = {{"a", nullptr}, {"b", 1}};
  const Fields fields(object);
  EXPECT_EQ(fields.find("a"), nullptr);
  EXPECT_EQ(fields.find("c"), nullptr);
  EXPECT_NE(fields.find("b"), nullptr);
  EXPECT_TRUE(fields.is_null("a"));
  EXPECT_FALSE(fields.is_null("b") || fields.is_null("c"));
}

}  // namespace
}  // namespace easel::http
