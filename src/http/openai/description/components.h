// JSON Schemas of what the routes answer with.
#pragma once

#include <nlohmann/json_fwd.hpp>

namespace easel::http {

/// By name, e.g. "Error", "Images", "Model".
nlohmann::ordered_json component_schemas();

}  // namespace easel::http
