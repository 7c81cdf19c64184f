// Another API in front of the same engine.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string_view>

#include "easel/engine.h"
#include "easel/server.h"
#include "http/openai/image_endpoints.h"
#include "http/openai/routes.h"
#include "http/transport/message.h"
#include "http/wire/http_error.h"

namespace easel::http {

/// Thread-safe.
class RouteExtension {
 public:
  virtual ~RouteExtension() = default;
  /// Whether errors at this path are in the form that the clients of this API read, although it is not a route.
  virtual bool owns(std::string_view path) const = 0;
  /// Rows without handlers: handle() is called for them.
  virtual std::span<const Route> routes() const = 0;
  /// As Route::Handler.
  virtual std::optional<Response> handle(const Route& route, const RouteRequest& request) = 0;
  /// An error in the form that the clients of this API read.
  virtual Response error_response(const HttpError& error) const = 0;
  /// The JSON Schemas that the operations of its routes name, for GET /openapi.json.
  virtual nlohmann::ordered_json schemas() const = 0;
};

/// What an extension works with; all of it outlives the extension.
struct ExtensionParts {
  Engine& engine;
  const ServerOptions& options;
  ImageEndpoints& images;
};

using ExtensionFactory = std::function<std::unique_ptr<RouteExtension>(const ExtensionParts& parts)>;

}  // namespace easel::http
