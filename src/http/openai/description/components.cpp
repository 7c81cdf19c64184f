#include "http/openai/description/components.h"

#include <nlohmann/json.hpp>

namespace easel::http {
namespace {

constexpr char kErrorSchemas[] = R"json({
  "Error": {"type": "object", "required": ["error"], "properties": {"error": {
    "type": "object", "required": ["message", "type", "param", "code"], "properties": {
      "message": {"type": "string", "examples": ["`prompt` is missing."]},
      "type": {"type": "string", "examples": ["invalid_request_error"]},
      "param": {"type": ["string", "null"], "description": "The field that the error is about.", "examples": ["prompt"]},
      "code": {"type": ["string", "null"], "examples": ["missing_required_parameter"]}}}}},
  "Server": {"type": "object", "required": ["name", "version", "default_model", "model", "upscaler", "links"],
    "properties": {"name": {"const": "easel"}, "version": {"type": "string"}, "default_model": {"type": "string"},
      "model": {"type": "string"}, "upscaler": {"type": "string", "description": "Empty: no model upscales."},
      "links": {"type": "object", "additionalProperties": {"type": "string"}}}},
  "Health": {"type": "object", "required": ["status"], "properties": {"status": {
    "enum": ["ready", "idle", "downloading", "loading", "failed", "shutting_down"]}}},
  "Ready": {"type": "object", "required": ["ready", "status"], "properties": {
    "ready": {"type": "boolean"},
    "status": {"enum": ["ready", "idle", "downloading", "loading", "failed", "shutting_down", "stalled"]},
    "model": {"type": "string"}, "downloaded_bytes": {"type": "integer", "minimum": 0},
    "total_bytes": {"type": "integer", "minimum": 0}}},
  "Description": {"type": "object", "required": ["openapi", "info", "paths"]}
})json";

constexpr char kModelSchemas[] = R"json({
  "Model": {"type": "object", "required": ["id", "object", "created", "owned_by", "family", "modes", "native_size",
      "default_steps", "default_guidance_scale", "default_scheduler", "schedulers", "state"],
    "properties": {"id": {"type": "string"}, "object": {"const": "model"}, "created": {"type": "integer"},
      "owned_by": {"type": "string"}, "labels": {"type": "array", "items": {"type": "string"}},
      "family": {"type": "string"}, "licence": {"type": "string"}, "dtype": {"type": "string"},
      "modes": {"type": "array", "items": {"enum": ["text-to-image", "image-to-image", "inpainting", "upscaling"]}},
      "native_size": {"type": "string", "pattern": "^[0-9]+x[0-9]+$"}, "upscale_factor": {"type": "integer"},
      "default_steps": {"type": "integer"}, "default_guidance_scale": {"type": "number"},
      "default_scheduler": {"type": "string"}, "schedulers": {"type": "array", "items": {"type": "string"}},
      "parameters": {"type": "integer"}, "weights": {"type": "array"}, "activations": {"type": "array"},
      "state": {"enum": ["unloaded", "loading", "ready", "failed"]},
      "loading_progress": {"type": "number", "minimum": 0, "maximum": 1}, "failure": {"type": "string"},
      "memory_bytes": {"type": "integer"}, "memory_needed_bytes": {"type": "integer"}, "pinned": {"type": "boolean"},
      "devices": {"type": "array"}, "last_used": {"type": "integer"}}},
  "Pull": {"type": "object", "required": ["model"], "properties": {
    "model": {"type": "string", "minLength": 1, "maxLength": 1024, "description": "A recipe, or ORG/NAME of a repository.",
      "examples": ["sd15"]},
    "stream": {"type": ["boolean", "null"], "description": "`false`: one object at the end. Default: `true`.",
      "examples": [true]}}},
  "Pulled": {"type": "object", "required": ["object", "model"], "properties": {"object": {"const": "model_pull"},
    "model": {"type": "string"}, "licence": {"type": ["string", "null"]}, "bytes": {"type": "integer"},
    "was_there": {"type": "boolean"}, "needs_conversion": {"type": "boolean"}}},
  "Removal": {"type": "object", "required": ["id", "object", "deleted"], "properties": {"id": {"type": "string"},
    "object": {"const": "model"}, "deleted": {"const": true}}},
  "Models": {"type": "object", "required": ["object", "data"], "properties": {"object": {"const": "list"},
    "data": {"type": "array", "items": {"$ref": "#/components/schemas/Model"}}}},
  "Adapters": {"type": "object", "required": ["object", "data"], "properties": {"object": {"const": "list"},
    "data": {"type": "array", "items": {"type": "object", "required": ["name", "alias", "family", "trigger_words", "size"],
      "properties": {"name": {"type": "string"}, "alias": {"type": "string"}, "family": {"type": "string"},
        "trigger_words": {"type": "array", "items": {"type": "string"}}, "size": {"type": "integer"}}}}}},
  "Tags": {"type": "object", "required": ["models"], "properties": {"models": {"type": "array", "items": {
    "type": "object", "required": ["name", "model", "capabilities"], "properties": {"name": {"type": "string"},
      "model": {"type": "string"}, "capabilities": {"type": "array", "items": {"type": "string"}}}}}}}
})json";

constexpr char kImageSchemas[] = R"json({
  "Usage": {"type": "object", "required": ["total_tokens", "input_tokens", "output_tokens", "input_tokens_details",
      "output_tokens_details"],
    "properties": {"total_tokens": {"type": "integer"}, "input_tokens": {"type": "integer"},
      "output_tokens": {"type": "integer"}, "input_tokens_details": {"$ref": "#/components/schemas/TokenDetails"},
      "output_tokens_details": {"$ref": "#/components/schemas/TokenDetails"}}},
  "TokenDetails": {"type": "object", "required": ["text_tokens", "image_tokens"], "properties": {
    "text_tokens": {"type": "integer"}, "image_tokens": {"type": "integer"}}},
  "Seed": {"description": "As text above 2^53.", "anyOf": [{"type": "integer", "minimum": 0},
    {"type": "string", "pattern": "^[0-9]+$"}]},
  "Image": {"type": "object", "required": ["seed", "prompt_cut"], "anyOf": [{"required": ["b64_json"]}, {"required": ["url"]}],
    "properties": {"b64_json": {"type": "string", "contentEncoding": "base64"}, "url": {"type": "string"},
      "seed": {"$ref": "#/components/schemas/Seed"},
      "prompt_cut": {"type": "boolean", "description": "The prompt was longer than the text encoder takes."}}},
  "Images": {"type": "object", "required": ["created", "size", "quality", "background", "output_format", "usage", "seed",
      "data"],
    "properties": {"created": {"type": "integer"}, "size": {"type": "string", "pattern": "^[0-9]+x[0-9]+$"},
      "quality": {"enum": ["low", "medium", "high"]}, "background": {"const": "opaque"},
      "output_format": {"enum": ["png", "jpeg", "webp"]}, "usage": {"$ref": "#/components/schemas/Usage"},
      "resized_from": {"type": "string"}, "images_used": {"type": "integer"},
      "ignored": {"type": "array", "items": {"type": "string"}}, "seed": {"$ref": "#/components/schemas/Seed"},
      "data": {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/Image"}}}},
  "Job": {"type": "object", "required": ["id", "object", "status", "created_at", "position", "step", "steps",
      "seconds_left", "result", "error"],
    "properties": {"id": {"type": "string"}, "object": {"const": "image.job"},
      "status": {"enum": ["queued", "running", "completed", "failed", "cancelled"]}, "created_at": {"type": "integer"},
      "position": {"type": "integer"}, "step": {"type": "integer"}, "steps": {"type": "integer"},
      "seconds_left": {"type": "number"}, "preview": {"type": ["string", "null"]},
      "result": {"anyOf": [{"type": "null"}, {"$ref": "#/components/schemas/Images"}]},
      "error": {"type": ["object", "null"]}}}
})json";

}  // namespace

nlohmann::ordered_json component_schemas() {
  auto schemas = nlohmann::ordered_json::object();
  for (const char* text : {kErrorSchemas, kModelSchemas, kImageSchemas})
    schemas.update(nlohmann::ordered_json::parse(text));
  return schemas;
}

}  // namespace easel::http
