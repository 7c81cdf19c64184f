// nlohmann's parser with a limit on depth. The parser keeps a stack of its own, so that depth costs it memory only, but
// copying or writing a value recurses.
#include "http/wire/json_text.h"

#include <cstddef>
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

HttpFailure not_json(std::size_t byte) {
  return refuse(concat("The request's body is not valid JSON in UTF-8: the fault is at byte ", byte, "."));
}

bool check_depth(int depth, json::parse_event_t event, json&) {
  if (!exceeds_max_json_depth(depth, event)) return true;
  throw refuse(concat("The JSON body is nested deeper than ", kMaxJsonDepth, " levels."));
}

}  // namespace

json parse_json_object(std::string_view text) {
  if (text.empty()) throw refuse("The request has no body; expected a JSON object.");
  // The parser takes a NUL byte for the end of its input and would ignore what follows it.
  if (const auto nul = text.find('\0'); nul != std::string_view::npos) throw not_json(nul + 1);
  json body;
  try {
    body = json::parse(text.begin(), text.end(), &check_depth);
  } catch (const json::parse_error& error) {
    throw not_json(error.byte);
  } catch (const json::out_of_range&) {
    throw refuse("The request's body holds a number that is out of range.");
  }
  if (!body.is_object())
    throw refuse(concat("The request's body must be a JSON object, not a JSON ", body.type_name(), "."));
  return body;
}

std::optional<json> parse_json_value(std::string_view text) {
  if (text.find('\0') != std::string_view::npos) return std::nullopt;
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
