// JSON in, from hands that may be hostile, and out.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace easel::http {

/// Parses a JSON object. A UTF-8 byte order mark is accepted; of equal keys the last one counts.
/// @throws HttpFailure(400)  empty, not JSON, not UTF-8 (lone surrogates included), nested deeper than 64, a number
/// that
///                           no double holds, or not an object
nlohmann::json parse_json_object(std::string_view text);

/// Parses any JSON value that is not deeper than 64. None for other texts.
std::optional<nlohmann::json> parse_json_value(std::string_view text);

/// One line of JSON, keys in the order given. Bytes that are no UTF-8 (a folder's name, say) become U+FFFD.
std::string json_text(const nlohmann::ordered_json& value);

}  // namespace easel::http
