#include "http/wire/json_text.h"

#include <utility>

#include "core/json_depth.h"
#include "core/text.h"
#include "http/wire/http_error.h"

namespace easel::http {
namespace {

using nlohmann::json;

HttpFailure refuse(std::string message) {
  return HttpFailure({.status = 400, .message = std::move(message)});
}

bool check_depth(int depth, json::parse_event_t event, json&) {
  if (!exceeds_max_json_depth(depth, event)) return true;
  throw refuse(concat("The JSON body is nested deeper than ", kMaxJsonDepth, " levels."));
}

}  // namespace

json parse_json_object(std::string_view text) {
  if (text.empty()) throw refuse("The request has no body; expected a JSON object.");
  json body;
  try {
    body = json::parse(text.begin(), text.end(), &check_depth);
  } catch (const json::parse_error& error) {
    throw refuse(concat("The request's body is not valid JSON in UTF-8: the fault is at byte ", error.byte, "."));
  } catch (const json::out_of_range&) {
    throw refuse("The request's body holds a number that is out of range.");
  }
  if (!body.is_object())
    throw refuse(concat("The request's body must be a JSON object, not a JSON ", body.type_name(), "."));
  return body;
}

std::optional<json> parse_json_value(std::string_view text) {
  try {
    return json::parse(text.begin(), text.end(), &check_depth);
  } catch (const json::exception&) {
    return std::nullopt;
  } catch (const HttpFailure&) {
    return std::nullopt;
  }
}

std::string json_text(const nlohmann::ordered_json& value) {
  return value.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace easel::http
