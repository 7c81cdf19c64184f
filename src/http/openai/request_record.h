// What is kept of one request for its line in the log and for the figures, filled in on its way.
#pragma once

#include <string>

#include "core/log.h"
#include "http/access/principal.h"
#include "http/openai/routes.h"

namespace easel::http {

/// Used by one thread. Holds no prompt text.
struct RequestRecord {
  std::string id;                ///< what x-request-id answers
  Principal principal = {};      ///< whose request it is; without an account where nobody was asked
  const Route* route = nullptr;  ///< none: an unknown path, or a wrong method
  log::Fields log_fields = {};   ///< of an image request: model, size, steps, ...
};

}  // namespace easel::http
