// Asks a server on this machine how it is.
#pragma once

#include <chrono>
#include <string>

namespace easel::http {

/// The status of the response to a GET.
/// @param host  name or address that the server listens on; for "0.0.0.0" and "::", loopback is asked
/// @throws Error(kUnavailable)  there is no response within the time
int status_of(const std::string& host, int port, const std::string& path, std::chrono::milliseconds timeout);

}  // namespace easel::http
