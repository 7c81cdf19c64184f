// Where links to this server begin.
#pragma once

#include <string>

#include "easel/server.h"
#include "http/access/proxies.h"

namespace easel::http {

/// ServerOptions::public_url, or else the server as the client reached it; without a slash at its end.
std::string link_base(const ServerOptions& options, const RequestSource& source);

}  // namespace easel::http
