// The name of a request in answers and logs.
#pragma once

#include <string>

#include "http/transport/message.h"

namespace easel::http {

/// The client's own x-request-id where it is short and plain, else a fresh "req_" and 32 hex digits. Thread-safe.
std::string request_id(const Headers& headers);

}  // namespace easel::http
