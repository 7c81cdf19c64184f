// The server behind easel/server.h, with what tests vary beyond its options.
#pragma once

#include <memory>

#include "easel/server.h"
#include "http/transport/timeouts.h"

namespace easel::http {

/// As easel::make_http_server.
std::unique_ptr<HttpServer> make_http_server(Engine& engine, ServerOptions options, const ConnectionTimeouts& timeouts);

}  // namespace easel::http
