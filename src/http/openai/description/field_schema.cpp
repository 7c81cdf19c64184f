#include "http/openai/description/field_schema.h"

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <variant>

namespace easel::http {
namespace {

using nlohmann::ordered_json;

// A PNG of one pixel.
constexpr char kImageExample[] =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC";
constexpr int kMaxListedImages = 16;

std::int64_t bound_number(const Bound& bound, const ServerOptions& limits) {
  return bound.limit ? limits.*bound.limit : bound.number;
}

// The type, the range and an example of each kind of field.
struct KindSchema {
  const ServerOptions& limits;

  ordered_json operator()(const IntegerField& field) const {
    return {{"type", "integer"},
            {"minimum", field.min},
            {"maximum", bound_number(field.max, limits)},
            {"examples", {field.example.value_or(field.min)}}};
  }
  ordered_json operator()(const NumberField& field) const {
    return {{"type", "number"},
            {"minimum", field.min},
            {"maximum", field.max},
            {"examples", {field.example.value_or(field.max)}}};
  }
  ordered_json operator()(const BooleanField&) const { return {{"type", "boolean"}, {"examples", {true}}}; }
  ordered_json operator()(const TextField& field) const {
    return {{"type", "string"}, {"maxLength", limits.max_prompt_chars}, {"examples", {field.example}}};
  }
  ordered_json operator()(const ChoiceField& field) const {
    auto choices = ordered_json::array();
    for (const char* choice : field.choices) choices.push_back(choice);
    return {{"enum", choices}, {"examples", {choices.front()}}};
  }
  ordered_json operator()(const NumbersField& field) const {
    auto example = ordered_json::array();
    for (const auto number : field.example) example.push_back(number);
    return {{"type", "array"},
            {"minItems", 1},
            {"maxItems", bound_number(field.max_count, limits)},
            {"items", {{"type", "number"}, {"minimum", field.min}, {"maximum", field.max}}},
            {"examples", ordered_json::array({example})}};
  }
  ordered_json operator()(const PixelsField& field) const {
    constexpr int kExampleEdge = 1024;
    const auto pixels = field.min > 0 ? kExampleEdge : field.min;
    return {{"type", "array"},
            {"minItems", 2},
            {"maxItems", 2},
            {"items", {{"type", "integer"}, {"minimum", field.min}, {"maximum", field.max}}},
            {"examples", ordered_json::array({{pixels, pixels}})}};
  }
  ordered_json operator()(const FileField&) const {
    return {{"type", "string"}, {"contentEncoding", "base64"}, {"examples", {kImageExample}}};
  }
  ordered_json operator()(const CustomField& field) const { return ordered_json::parse(field.schema); }
};

ordered_json kind_schema(const RequestField& field, const ServerOptions& limits) {
  return std::visit(KindSchema{limits}, field.kind);
}

// One image, or several of them, each as a text or as one of OpenAI's objects.
ordered_json image_schema(const RequestField& field) {
  const ordered_json text = {{"type", "string"}, {"contentEncoding", "base64"}};
  const ordered_json url = {
      {"anyOf",
       {{{"type", "string"}},
        {{"type", "object"}, {"required", {"url"}}, {"properties", {{"url", {{"type", "string"}}}}}}}}};
  const ordered_json object = {{"type", "object"},
                               {"oneOf", {{{"required", {"image_url"}}}, {{"required", {"b64_json"}}}}},
                               {"properties", {{"image_url", url}, {"b64_json", {{"type", "string"}}}}}};
  const ordered_json one = {{"anyOf", {text, object}}};
  const ordered_json list = {{"type", "array"}, {"minItems", 1}, {"maxItems", kMaxListedImages}, {"items", one}};
  const std::string_view name = field.name;
  if (name == "mask") return {{"anyOf", {text, object}}, {"examples", {kImageExample}}};
  const ordered_json example = {{"image_url", std::string("data:image/png;base64,") + kImageExample}};
  auto listed = list;
  listed["examples"] = ordered_json::array({ordered_json::array({example})});
  if (name == "images") return listed;
  return {{"anyOf", {text, object, list}}, {"examples", {kImageExample}}};
}

// What counts as an absent field.
ordered_json absent_values(const RequestField& field) {
  if (field.origin != FieldOrigin::kForeign) return {{"type", "null"}};
  return {{"enum", {nullptr, "", ordered_json::array(), ordered_json::object()}}};
}

bool prompt_is_required(ImageTask task) {
  return task == ImageTask::kGenerate || task == ImageTask::kEdit;
}

bool is_file_field(const RequestField& field) {
  return type_of(field) == FieldType::kFile;
}

// The prompt's schema depends on the route and on the limits.
ordered_json prompt_schema(const RequestField& field, ImageTask task, const ServerOptions& limits) {
  auto schema = kind_schema(field, limits);
  schema["maxLength"] = limits.max_prompt_chars;
  schema["description"] = field.documentation;
  if (prompt_is_required(task)) {
    schema["minLength"] = 1;
  } else {
    schema["type"] = {"string", "null"};
  }
  return schema;
}

// Names that are refused unless they say nothing.
ordered_json refused_names(ImageTask task) {
  const ordered_json nothing = {{"enum", {nullptr, "", ordered_json::array(), ordered_json::object()}}};
  ordered_json patterns = {{"^(controlnet|ip_adapter)", nothing}};
  if (task == ImageTask::kGenerate) patterns["^(image|images|init_images|mask)$"] = nothing;
  return patterns;
}

constexpr char kUnknownNames[] =
    "Names that are not listed here are accepted, and listed in `ignored` of the response.";

}  // namespace

ordered_json json_schema_of(const RequestField& field, const ServerOptions& limits) {
  auto value = is_file_field(field) ? image_schema(field) : kind_schema(field, limits);
  const auto examples = value["examples"];
  value.erase("examples");
  return {{"description", field.documentation},
          {"anyOf", {std::move(value), absent_values(field)}},
          {"examples", examples}};
}

ordered_json form_schema_of(const RequestField& field, const ServerOptions& limits) {
  auto schema = kind_schema(field, limits);
  if (is_file_field(field)) schema = {{"type", "string"}, {"format", "binary"}, {"contentMediaType", "image/png"}};
  schema["description"] = field.documentation;
  return schema;
}

ordered_json json_body_schema(ImageTask task, const ServerOptions& limits) {
  ordered_json properties = ordered_json::object();
  for (const auto& field : request_fields()) {
    if (task == ImageTask::kGenerate && is_file_field(field)) continue;
    const bool is_prompt = std::string_view(field.name) == "prompt";
    properties[field.name] = is_prompt ? prompt_schema(field, task, limits) : json_schema_of(field, limits);
  }
  ordered_json schema = {{"type", "object"}, {"description", kUnknownNames}, {"properties", std::move(properties)}};
  schema["patternProperties"] = refused_names(task);
  if (prompt_is_required(task)) schema["required"] = {"prompt"};
  if (task != ImageTask::kGenerate) {
    const auto has = [](const char* name) {
      return ordered_json{{"required", {name}}, {"properties", {{name, {{"not", {{"type", "null"}}}}}}}};
    };
    schema["anyOf"] = {has("image"), has("images")};
  }
  return schema;
}

ordered_json form_body_schema(ImageTask task, const ServerOptions& limits) {
  ordered_json properties = ordered_json::object();
  for (const auto& field : request_fields()) {
    if (field.bodies == FieldBodies::kJson) continue;
    const bool is_prompt = std::string_view(field.name) == "prompt";
    properties[field.name] = is_prompt ? prompt_schema(field, task, limits) : form_schema_of(field, limits);
    if (is_prompt) properties[field.name]["type"] = "string";
  }
  ordered_json schema = {{"type", "object"}, {"description", kUnknownNames}, {"properties", std::move(properties)}};
  schema["required"] = prompt_is_required(task) ? ordered_json{"prompt", "image"} : ordered_json{"image"};
  return schema;
}

}  // namespace easel::http
