// What is served where, as a table.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace easel::http {

enum class Endpoint {
  kRoot,         ///< GET /v1/: what this is
  kHealth,       ///< GET /health: is the process well
  kReady,        ///< GET /ready: can it draw now
  kMetrics,      ///< GET /metrics
  kModels,       ///< GET /v1/models
  kModel,        ///< GET /v1/models/{id}
  kLoadModel,    ///< POST /v1/models/{id}/load
  kUnloadModel,  ///< POST /v1/models/{id}/unload
  kGenerations,  ///< POST /v1/images/generations
  kEdits,        ///< POST /v1/images/edits
  kVariations,   ///< POST /v1/images/variations
  kUpscale,      ///< POST /v1/images/upscale
};

/// The path that the endpoint has in documents, e.g. "/v1/models/{id}", however a client spelled it.
const char* canonical_path(Endpoint endpoint);

struct Route {
  const char* method;
  /// Segments; "{}" stands for one segment, "{...}" for one or more: all that the segments behind it leave.
  const char* pattern;
  Endpoint endpoint;
};

struct RouteMatch {
  const Route* route = nullptr;  ///< none: the path is unknown, or `allow` says what it takes
  std::string parameter;         ///< what stood for "{}" or "{...}", still percent-encoded
  std::string allow;             ///< methods of this path, as the Allow field has them; empty: unknown path
};

/// Finds the route of a path, with or without /v1 (or Azure's /openai/v1), repeated and trailing slashes aside. HEAD is
/// served where GET is. Letters of fixed segments may be percent-encoded. Thread-safe.
RouteMatch find_route(std::string_view method, std::string_view path);

/// Decodes %XX once; an escape that is none stays as it is.
std::string percent_decode(std::string_view text);

}  // namespace easel::http
