// What is kept of one request for its log line and for the metrics, filled in while it is handled.
#pragma once

#include <optional>
#include <string>

#include "core/log.h"
#include "http/access/principal.h"
#include "http/access/proxies.h"
#include "http/openai/routes.h"
#include "http/wire/http_error.h"

namespace easel::http {

/// Used by one thread. Holds no prompt text.
struct RequestRecord {
  std::string id;                ///< the value of x-request-id in the response
  RequestSource source = {};     ///< where it comes from
  Principal principal = {};      ///< the sender; without an account on routes that ask for no key
  const Route* route = nullptr;  ///< null: an unknown path, or a wrong method
  log::Fields log_fields = {};   ///< of an image request: model, size, steps, ...
  // Of a streamed response, whose status was written before:
  bool client_left = false;                    ///< before its end
  std::optional<HttpError> stream_error = {};  ///< why it failed
};

}  // namespace easel::http
