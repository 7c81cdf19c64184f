// GET /openapi.json describes every route and every field, from the rows that check the requests.
#include "http/openai/openapi.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "http/openai/description/components.h"
#include "http/openai/requests/openai_images.h"
#include "http/sdapi/body.h"
#include "http/sdapi/members.h"
#include "http/support/scripted_engine.h"

namespace easel::http {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

ordered_json document(const ServerOptions& options = {}) {
  const DescribedRoutes tables[] = {{.routes = routes(), .schemas = component_schemas()}};
  return openapi_document(tables, options);
}

// Whether a schema says what type its values have, looking into its alternatives.
bool has_type(const ordered_json& schema) {
  if (schema.contains("type") || schema.contains("enum") || schema.contains("const")) return true;
  for (const auto& alternative : schema.value("anyOf", ordered_json::array())) {
    if (!has_type(alternative)) return false;
  }
  return schema.contains("anyOf");
}

void expect_is_described(const std::string& name, const ordered_json& schema) {
  EXPECT_TRUE(has_type(schema)) << name << ": " << schema;
  EXPECT_FALSE(schema.value("description", "").empty()) << name;
  EXPECT_FALSE(schema.value("examples", ordered_json::array()).empty()) << name;
}

TEST(OpenApi, EveryFieldHasASchemaAndEverySchemaAField) {
  const auto schemas = document()["components"]["schemas"];
  for (const char* body : {"Generation", "Edit", "Variation", "Upscale"}) {
    const bool takes_images = std::string(body) != "Generation";
    const auto& properties = schemas[body]["properties"];
    for (const auto& field : request_fields()) {
      const bool is_file = type_of(field) == FieldType::kFile;
      EXPECT_EQ(properties.contains(field.name), takes_images || !is_file) << body << ' ' << field.name;
    }
    for (const auto& [name, schema] : properties.items()) {
      EXPECT_NE(find_request_field(name), nullptr) << body << ": " << name << " is not a field";
      expect_is_described(name, schema);
    }
    if (!takes_images) continue;
    const auto& parts = schemas[std::string(body) + "Form"]["properties"];
    for (const auto& field : request_fields()) {
      EXPECT_EQ(parts.contains(field.name), field.bodies != FieldBodies::kJson) << body << ' ' << field.name;
    }
  }
}

TEST(OpenApi, NumbersHaveTheirRanges) {
  const auto properties =
      document({.max_images = 3, .max_steps = 77})["components"]["schemas"]["Generation"]["properties"];
  for (const auto& field : request_fields()) {
    if (type_of(field) == FieldType::kFile) continue;
    const auto& schema = properties[field.name];
    const auto& value = schema.contains("anyOf") ? schema["anyOf"][0] : schema;
    const bool is_number = value.value("type", json()) == "integer" || value.value("type", json()) == "number";
    if (!is_number) continue;
    EXPECT_TRUE(value.contains("minimum") && value.contains("maximum")) << field.name << value;
  }
  EXPECT_EQ(properties["n"]["anyOf"][0]["maximum"], 3) << "the server's own limit";
  EXPECT_EQ(properties["num_inference_steps"]["anyOf"][0]["maximum"], 77);
}

// What the document shows as an example is what the server accepts.
TEST(OpenApi, EveryExampleIsAccepted) {
  auto model = test::tiny_model("emoji");
  model.schedulers = {"ddim", "euler_ancestral"};
  model.scheduler_aliases = {"euler_a"};
  const std::vector<ModelDescription> models = {model};
  const std::string no_default;
  const auto all = document();
  for (const auto& [name, schema] : all["components"]["schemas"]["Edit"]["properties"].items()) {
    if (type_of(*find_request_field(name)) == FieldType::kFile) continue;
    for (const auto& example : schema["examples"]) {
      json body = {{"prompt", "a fox"}};
      body[name] = json(example);
      EXPECT_NO_THROW(read_image_request(body, models, {}, no_default, ImageTask::kEdit)) << name << ": " << example;
    }
  }
}

TEST(OpenApi, EveryRouteHasASummaryAnAnswerAndItsErrors) {
  const auto all = document();
  for (const auto& route : routes()) {
    ASSERT_NE(route.operation.summary, nullptr) << route.method << ' ' << route.name;
    std::string method = route.method;
    for (auto& c : method) c = static_cast<char>(std::tolower(c));
    const auto& operation = all["paths"][route.name][method];
    const auto& responses = operation["responses"];
    EXPECT_TRUE(responses.contains("200")) << route.name;
    EXPECT_TRUE(responses.contains("403") && responses.contains("500")) << route.name;
    EXPECT_EQ(responses.contains("401"), route.auth == Auth::kKey) << route.name;
    EXPECT_EQ(operation.contains("security"), route.auth == Auth::kOpen) << route.name;
  }
}

// Every "$ref" leads to a component.
void expect_references(const ordered_json& value, const ordered_json& schemas) {
  if (value.is_object() && value.contains("$ref")) {
    const auto name = value["$ref"].get<std::string>();
    constexpr std::string_view kPrefix = "#/components/schemas/";
    ASSERT_TRUE(name.starts_with(kPrefix)) << name;
    EXPECT_TRUE(schemas.contains(name.substr(kPrefix.size()))) << name;
  }
  if (!value.is_structured()) return;
  for (const auto& entry : value) expect_references(entry, schemas);
}

TEST(OpenApi, EveryReferenceLeadsToAComponent) {
  const DescribedRoutes tables[] = {{.routes = routes(), .schemas = component_schemas()},
                                    {.routes = {}, .schemas = sdapi::member_schemas()}};
  const auto all = openapi_document(tables, {});
  expect_references(all, all["components"]["schemas"]);
}

TEST(OpenApi, KeysAreDescribedWhereTheServerHasThem) {
  EXPECT_FALSE(document().contains("security"));
  EXPECT_EQ(document({.api_keys = {"a key"}})["security"].size(), 2u);
}

TEST(OpenApi, MembersOfA1111sBodiesAreTheRowsThatAreRead) {
  std::set<std::string> described;
  const auto schemas = sdapi::member_schemas();
  for (const char* body : {"TextToImage", "ImageToImage", "Upscaling", "Options"}) {
    for (const auto& [name, schema] : schemas[body]["properties"].items()) {
      described.insert(name);
      EXPECT_TRUE(sdapi::is_member(name)) << name;
      EXPECT_FALSE(schema.value("description", "").empty()) << name;
      EXPECT_TRUE(schema.contains("examples")) << name;
    }
  }
  for (const auto& member : sdapi::members()) EXPECT_TRUE(described.contains(member.name)) << member.name;
  const json body = json::object();
  EXPECT_THROW(sdapi::Body(body).find("not a member"), std::logic_error) << "no member without a row is read";
}

}  // namespace
}  // namespace easel::http
