// What is served where: one row per route, and the matcher of paths.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "http/openai/description/operation.h"
#include "http/transport/client.h"
#include "http/transport/message.h"
#include "http/transport/request_head.h"

namespace easel::http {

struct Endpoints;
struct RequestRecord;

/// One request on its way to a handler. Valid during the call, and until a streamed response has ended; `parameter`
/// only during the call.
struct RouteRequest {
  const RequestHead& head;
  const std::string& parameter;  ///< what stood for "{}" or "{...}" in the path, still percent-encoded
  Client& client;
  RequestRecord& record;
};

enum class Auth {
  kKey,   ///< an API key is asked for where the server has any
  kOpen,  ///< no key: orchestrators carry none
};

enum class Logging {
  kAlways,
  kUnlessOk,  ///< a 200 is logged at debug level: probes and scrapers ask every few seconds
};

struct Route {
  /// @return none when the client has left and nobody reads the response
  /// @throws HttpFailure, ProtocolError
  using Handler = std::optional<Response> (*)(Endpoints& endpoints, const RouteRequest& request);

  const char* method;
  /// The path in documents, logs and metrics, e.g. "/v1/models/{id}", however a client spelled it.
  const char* name;
  /// Segments without the version; "{}" stands for one segment, "{...}" for one or more: all that the segments after
  /// it leave.
  const char* pattern;
  /// Where Azure's clients look for the same, after "openai"; null: nowhere.
  const char* azure_pattern = nullptr;
  Handler handler = nullptr;
  Auth auth = Auth::kKey;
  Logging logging = Logging::kAlways;
  bool path_is_secret = false;  ///< a client that knows the path may read what is there: the log has the name instead
  Operation operation = {};     ///< for GET /openapi.json
};

/// All routes.
std::span<const Route> routes();

struct RouteMatch {
  const Route* route = nullptr;  ///< null: the path is unknown, or it does not take the method
  std::string parameter;         ///< what stood for "{}" or "{...}", still percent-encoded
  std::string allow;             ///< methods of this path, as the Allow header has them; empty: unknown path
};

/// Finds the route of a path, with or without /v1 (or /openai/v1, or /api/v1); repeated and trailing slashes do not
/// count.
/// HEAD is served where GET is. Letters of fixed segments may be percent-encoded. Thread-safe.
RouteMatch find_route(std::string_view method, std::string_view path);

/// The same in another table.
RouteMatch find_route(std::span<const Route> table, std::string_view method, std::string_view path);

/// Decodes %XX once; an escape that is not valid stays as it is.
std::string percent_decode(std::string_view text);

}  // namespace easel::http
