#include "http/openai/openapi.h"

#include <string>
#include <string_view>
#include <utility>

#include "core/text.h"
#include "http/openai/description/field_schema.h"

namespace easel::http {
namespace {

using nlohmann::ordered_json;

// What each status of an error says, on whatever route.
const char* description_of(int status) {
  switch (status) {
    case 400:
      return "The request is not valid; `error.param` names the field.";
    case 401:
      return "The API key is missing or wrong.";
    case 403:
      return "The page's origin, the host name or the key does not allow this.";
    case 404:
      return "There is no such thing, or no longer.";
    case 408:
      return "The body did not arrive in time.";
    case 413:
      return "The body, or a file in it, is too large.";
    case 415:
      return "The body is compressed.";
    case 422:
      return "A member of the body has the wrong type.";
    case 429:
      return "All places are taken; the header retry-after says when to try again.";
    case 500:
      return "The server failed on this request.";
    case 503:
      return "The server does not take requests now, or the request was cancelled.";
    case 504:
      return "The request did not end in its time.";
    default:
      return "An error.";
  }
}

ordered_json reference_to(const std::string& schema) {
  return {{"$ref", "#/components/schemas/" + schema}};
}

ordered_json json_content(const std::string& schema) {
  return {{"application/json", {{"schema", reference_to(schema)}}}};
}

const char* body_name(BodyOf body) {
  switch (body) {
    case BodyOf::kGenerate:
      return "Generation";
    case BodyOf::kEdit:
      return "Edit";
    case BodyOf::kVary:
      return "Variation";
    case BodyOf::kUpscale:
      return "Upscale";
    case BodyOf::kNone:
    case BodyOf::kNamed:
      break;
  }
  return nullptr;
}

ordered_json request_body_of(const Operation& operation) {
  if (operation.body == BodyOf::kNamed) {
    return {{"required", false}, {"content", json_content(operation.body_schema)}};
  }
  const std::string name = body_name(operation.body);
  auto content = json_content(name);
  if (operation.body != BodyOf::kGenerate) content["multipart/form-data"] = {{"schema", reference_to(name + "Form")}};
  return {{"required", true}, {"content", content}};
}

// The headers that image routes read: see docs/guide/operating.md and jobs.md.
ordered_json image_headers() {
  return ordered_json::parse(R"json([
    {"name": "Prefer", "in": "header", "description": "`respond-async`: the response is a job.",
     "schema": {"type": "string", "examples": ["respond-async"]}},
    {"name": "Idempotency-Key", "in": "header", "description": "The same request with the same key is made once.",
     "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$",
                "examples": ["5f2b8c1e-2f0d-4a0e-9c55-0a3f5a4f7a11"]}},
    {"name": "x-easel-timeout", "in": "header", "description": "Seconds until the request is given up.",
     "schema": {"type": "number", "exclusiveMinimum": 0, "examples": [60]}},
    {"name": "x-easel-priority", "in": "header", "description": "For operators.",
     "schema": {"type": "integer", "minimum": -3, "maximum": 3, "examples": [0]}},
    {"name": "x-easel-progress", "in": "header", "description": "1: a stream has events that tell the progress, too.",
     "schema": {"enum": ["0", "1"], "examples": ["1"]}}])json");
}

ordered_json parameters_of(const Route& route) {
  auto parameters = ordered_json::array();
  const std::string_view name = route.name;
  for (auto at = name.find('{'); at != std::string_view::npos; at = name.find('{', at + 1)) {
    const auto end = name.find('}', at);
    parameters.push_back({{"name", name.substr(at + 1, end - at - 1)},
                          {"in", "path"},
                          {"required", true},
                          {"schema", {{"type", "string"}, {"minLength", 1}}}});
  }
  const auto& operation = route.operation;
  if (body_name(operation.body)) {
    for (auto& header : image_headers()) parameters.push_back(std::move(header));
  }
  if (operation.query) {
    for (auto& parameter : ordered_json::parse(operation.query)) parameters.push_back(std::move(parameter));
  }
  return parameters;
}

void add_response(const DescribedResponse& described, ordered_json& responses) {
  auto& response = responses[std::to_string(described.status)];
  response["description"] = described.description;
  const std::string_view type = described.media_type ? described.media_type : "";
  if (type.empty()) return;
  auto& content = response["content"][described.media_type];
  content = described.schema ? ordered_json{{"schema", reference_to(described.schema)}} : ordered_json::object();
}

ordered_json operation_of(const Route& route) {
  const auto& operation = route.operation;
  auto responses = ordered_json::object();
  for (const auto& described : operation.responses) add_response(described, responses);
  for (const auto status : operation.errors) {
    if (responses.contains(std::to_string(status))) continue;
    responses[std::to_string(status)] = {{"description", description_of(status)},
                                         {"content", json_content(operation.error_schema)}};
  }
  auto id = concat(route.method, route.name);
  for (auto& c : id) {
    if (c == '/' || c == '{' || c == '}') c = '_';
  }
  ordered_json object = {{"operationId", std::move(id)}, {"summary", operation.summary ? operation.summary : ""}};
  if (auto parameters = parameters_of(route); !parameters.empty()) object["parameters"] = std::move(parameters);
  if (operation.body != BodyOf::kNone) object["requestBody"] = request_body_of(operation);
  object["responses"] = std::move(responses);
  if (route.auth == Auth::kOpen) object["security"] = ordered_json::array();
  return object;
}

void add_bodies(const ServerOptions& options, ordered_json& schemas) {
  constexpr std::pair<BodyOf, ImageTask> kTasks[] = {{BodyOf::kGenerate, ImageTask::kGenerate},
                                                     {BodyOf::kEdit, ImageTask::kEdit},
                                                     {BodyOf::kVary, ImageTask::kVary},
                                                     {BodyOf::kUpscale, ImageTask::kUpscale}};
  for (const auto& [body, task] : kTasks) {
    const std::string name = body_name(body);
    schemas[name] = json_body_schema(task, options);
    if (task != ImageTask::kGenerate) schemas[name + "Form"] = form_body_schema(task, options);
  }
}

std::string lower_case(std::string_view method) {
  std::string text(method);
  for (auto& c : text) c = static_cast<char>(c - 'A' + 'a');
  return text;
}

}  // namespace

ordered_json openapi_document(std::span<const DescribedRoutes> tables, const ServerOptions& options) {
  auto paths = ordered_json::object(), schemas = ordered_json::object();
  for (const auto& table : tables) {
    for (const auto& route : table.routes) {
      paths[route.name][lower_case(route.method)] = operation_of(route);
    }
    schemas.update(table.schemas);
  }
  add_bodies(options, schemas);
  ordered_json document = {
      {"openapi", "3.1.0"},
      {"info",
       {{"title", "easel"},
        {"version", options.version.empty() ? "0" : options.version},
        {"description", "An image generation server with OpenAI's Images API and AUTOMATIC1111's API."}}},
      {"paths", std::move(paths)},
      {"components",
       {{"schemas", std::move(schemas)},
        {"securitySchemes",
         {{"key", {{"type", "http"}, {"scheme", "bearer"}}},
          {"basic", {{"type", "http"}, {"scheme", "basic"}, {"description", "The password is the key."}}}}}}}};
  const bool has_keys = !options.api_keys.empty() || !options.api_keys_file.empty();
  if (has_keys) {
    const auto none = ordered_json::array();
    document["security"] = ordered_json::array({{{"key", none}}, {{"basic", none}}});
  }
  return document;
}

}  // namespace easel::http
