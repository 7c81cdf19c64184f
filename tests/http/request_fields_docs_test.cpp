// The table of request fields in the guide is made from the rows that the readers use. After a change of the rows, run
// http_test with EASEL_UPDATE_DOCS=1 to write the page anew.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "core/text.h"
#include "http/openai/fields/request_fields.h"

namespace easel::http {
namespace {

constexpr char kBegin[] = "<!-- fields: begin -->\n";
constexpr char kEnd[] = "<!-- fields: end -->\n";

std::string text_of(const Bound& bound) {
  return bound.name ? bound.name : std::to_string(bound.number);
}

// What a field may be, in a cell of the table.
struct Values {
  std::string operator()(const IntegerField& field) const {
    return concat("integer, ", field.min, " to ", text_of(field.max));
  }
  std::string operator()(const NumberField& field) const { return concat("number, ", field.min, " to ", field.max); }
  std::string operator()(const BooleanField&) const { return "`true` or `false`"; }
  std::string operator()(const TextField&) const { return "text of up to `--max-prompt-chars` characters"; }
  std::string operator()(const ChoiceField& field) const {
    std::vector<std::string> quoted;
    for (const char* choice : field.choices) quoted.push_back(concat("`", choice, "`"));
    return join(quoted);
  }
  std::string operator()(const NumbersField& field) const {
    return concat("up to ", text_of(field.max_count), " numbers, ", field.min, " to ",
                  static_cast<std::int64_t>(field.max));
  }
  std::string operator()(const PixelsField& field) const {
    return concat("two integers, ", field.min, " to ", field.max);
  }
  std::string operator()(const FileField&) const { return "image file; in JSON as base64 or a data URL"; }
  std::string operator()(const CustomField& field) const { return field.values; }
};

std::string table() {
  std::string text = "| field | values | meaning |\n|---|---|---|\n";
  for (const auto& field : request_fields()) {
    text += concat("| `", field.name, "` | ", std::visit(Values{}, field.kind), " | ", field.documentation,
                   field.routes == FieldRoutes::kWithImage ? " Not on generations." : "",
                   field.bodies == FieldBodies::kJson ? " JSON only." : "", " |\n");
  }
  return text;
}

std::string read_page() {
  std::ifstream file(EASEL_FIELDS_PAGE, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(FieldsPage, HasTheTableOfTheRows) {
  auto page = read_page();
  const auto begin = page.find(kBegin) + std::string_view(kBegin).size(), end = page.find(kEnd);
  ASSERT_LT(end, page.size());
  ASSERT_LE(begin, end);
  const auto written = page.substr(begin, end - begin);
  if (std::getenv("EASEL_UPDATE_DOCS")) {
    page.replace(begin, end - begin, table());
    std::ofstream(EASEL_FIELDS_PAGE, std::ios::binary) << page;
  } else {
    EXPECT_EQ(written, table()) << "run http_test with EASEL_UPDATE_DOCS=1 to write it anew";
  }
}

}  // namespace
}  // namespace easel::http
