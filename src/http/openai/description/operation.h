// What the API's description says of a route, next to the route itself.
#pragma once

#include <span>

namespace easel::http {

/// A response that is not an error.
struct DescribedResponse {
  int status = 200;
  const char* description = "";
  const char* schema =
      nullptr;  ///< name of a component of the description; null: the body is not JSON, or there is none
  const char* media_type = "application/json";
};

/// The body that a route reads.
enum class BodyOf {
  kNone,
  kGenerate,  ///< request_fields() as JSON
  kEdit,      ///< and of the routes that take images also as a form
  kVary,
  kUpscale,
  kNamed,  ///< a component: Operation::body_schema
};

/// A route in the description. Everything refers to constants.
struct Operation {
  const char* summary = nullptr;  ///< one sentence; null: the route is not described, which a test refuses
  std::span<const DescribedResponse> responses = {};
  std::span<const int> errors = {};  ///< the statuses that the route may be answered with otherwise
  BodyOf body = BodyOf::kNone;
  const char* body_schema = nullptr;   ///< of BodyOf::kNamed
  const char* error_schema = "Error";  ///< name of the component that describes an error's body
  const char* query = nullptr;         ///< JSON text: a list of query parameters; null: none
};

}  // namespace easel::http
