// On what terms a request is taken: what its headers and its caller say beside its body.
#pragma once

#include <chrono>
#include <optional>

#include "easel/engine.h"
#include "http/access/principal.h"
#include "http/transport/message.h"

namespace easel::http {

/// `x-easel-timeout: SECONDS`, above 0, decimals allowed: the answer is wanted by then or not at all.
inline constexpr char kTimeoutHeader[] = "x-easel-timeout";
/// `x-easel-priority: LEVEL`, a whole number from -3 to 3, 0 being everybody's. For operators.
inline constexpr char kPriorityHeader[] = "x-easel-priority";

/// @param max_timeout  the server's own; a longer one asked for is shortened to it; none: no limit
/// @throws HttpFailure  400: a header that is not as above; 403: a priority, and the caller is no operator
SubmitOptions read_submit_options(const Headers& headers, const Principal& principal,
                                  std::optional<std::chrono::milliseconds> max_timeout);

}  // namespace easel::http
