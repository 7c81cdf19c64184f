// SubmitOptions from a request's headers and its principal.
#pragma once

#include <chrono>
#include <optional>

#include "easel/engine.h"
#include "http/access/principal.h"
#include "http/transport/message.h"

namespace easel::http {

/// `x-easel-timeout: SECONDS`, above 0, decimals allowed: the request ends with 504 when it takes longer.
inline constexpr char kTimeoutHeader[] = "x-easel-timeout";
/// `x-easel-priority: LEVEL`, an integer from -kMaxPriority to kMaxPriority; 0 is the default. For operators only.
inline constexpr char kPriorityHeader[] = "x-easel-priority";

/// @param max_timeout  the server's own; a longer one in the header is shortened to it; none: no limit
/// @throws HttpFailure  400: a header that is not as described above; 403: a priority, and the principal is not an
/// operator
SubmitOptions read_submit_options(const Headers& headers, const Principal& principal,
                                  std::optional<std::chrono::milliseconds> max_timeout);

}  // namespace easel::http
