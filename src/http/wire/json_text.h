// JSON from clients, who may be hostile, and JSON for them.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace easel::http {

/// Values of one text: those of objects and lists, and the objects and lists themselves. No request needs as many.
inline constexpr std::size_t kMaxJsonValues = 10'000;

/// Parses a JSON object, in a time that is proportional to its length. A UTF-8 byte order mark is accepted; of equal
/// keys the last one counts.
/// @throws HttpFailure(400)  the text is empty, not JSON, not UTF-8 (lone surrogates included), contains a NUL byte, is
///                           nested deeper than 64 levels, has more than kMaxJsonValues values, holds a number that
///                           no double holds, or is not an object
nlohmann::json parse_json_object(std::string_view text);

/// Parses any JSON value within the same limits. None for other texts.
std::optional<nlohmann::json> parse_json_value(std::string_view text);

/// One line of JSON, keys in the order given. Bytes that are not UTF-8 (of a folder's name, say) become U+FFFD.
std::string json_text(const nlohmann::ordered_json& value);

}  // namespace easel::http
