// GET /openapi.json: the description of all routes in OpenAPI 3.1, from the rows that check the requests.
#pragma once

#include <nlohmann/json.hpp>
#include <span>

#include "easel/server.h"
#include "http/openai/routes.h"

namespace easel::http {

/// The routes of one table, and the components that their operations name.
struct DescribedRoutes {
  std::span<const Route> routes;
  nlohmann::ordered_json schemas;
};

/// The whole document.
/// @param options  the limits that become ranges, and whether there are keys
nlohmann::ordered_json openapi_document(std::span<const DescribedRoutes> tables, const ServerOptions& options);

}  // namespace easel::http
