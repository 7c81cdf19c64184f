// Numbers as people read them.
#pragma once

#include <cstdint>
#include <string>

namespace easel {

/// E.g. "512 B", "1.7 GiB".
std::string format_bytes(std::int64_t bytes);

/// E.g. "860 million".
std::string format_count(std::int64_t count);

}  // namespace easel
