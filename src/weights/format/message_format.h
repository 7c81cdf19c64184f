// How names and shapes from a file look in messages.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace easel {

/// `name` in backquotes, its control characters escaped; the middle of a very long one is left out. So a hostile file
/// can neither forge nor flood a message.
std::string quote_name(std::string_view name);

/// "[320, 4, 3, 3]"
std::string format_shape(std::span<const std::int64_t> shape);

}  // namespace easel
