// AUTOMATIC1111's API, /sdapi/v1, in front of the same engine, limits and keys.
#pragma once

#include <memory>

#include "http/openai/route_extension.h"

namespace easel::http::sdapi {

/// See docs/guide/sdapi.md for what is honoured.
std::unique_ptr<RouteExtension> make_extension(const ExtensionParts& parts);

}  // namespace easel::http::sdapi
