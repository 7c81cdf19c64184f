// Formatting names and shapes from a file for messages.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace easel {

/// `name` in backquotes with its control characters escaped; the middle of a very long name is left out. A hostile file
/// can therefore neither forge nor flood a message.
std::string quote_name(std::string_view name);

/// "[320, 4, 3, 3]"
std::string format_shape(std::span<const std::int64_t> shape);

}  // namespace easel
