// The id of a request in responses and logs.
#pragma once

#include <string>

#include "http/transport/message.h"

namespace easel::http {

/// The client's own x-request-id if it has up to 128 letters, digits and -_.: only; else "req_" and 32 random hex
/// digits. Thread-safe.
std::string request_id(const Headers& headers);

}  // namespace easel::http
