// The rows of request fields as JSON Schema 2020-12, which is what OpenAPI 3.1 uses.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "easel/server.h"
#include "http/openai/fields/request_fields.h"

namespace easel::http {

/// The values that a field may have in JSON, with `description` and `examples`. null is among them, because it counts
/// as absent; of foreign names also "", [] and {}.
nlohmann::ordered_json json_schema_of(const RequestField& field, const ServerOptions& limits);

/// The same for the part of a form, which cannot be null.
nlohmann::ordered_json form_schema_of(const RequestField& field, const ServerOptions& limits);

/// The body of an image route as JSON.
nlohmann::ordered_json json_body_schema(ImageTask task, const ServerOptions& limits);
/// The same as a form. Not of ImageTask::kGenerate.
nlohmann::ordered_json form_body_schema(ImageTask task, const ServerOptions& limits);

}  // namespace easel::http
