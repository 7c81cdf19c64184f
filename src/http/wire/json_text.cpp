// A builder of JSON values on nlohmann's event parser. The library's own parser with a callback, which could limit
// depth and number as well, takes quadratic time for lists of objects, and copies every string.
#include "http/wire/json_text.h"

#include <cstddef>
#include <utility>
#include <vector>

#include "core/json_depth.h"
#include "core/text.h"
#include "http/wire/http_error.h"

namespace easel::http {
namespace {

using nlohmann::json;

HttpFailure invalid_json(std::string message) {
  return HttpFailure({.status = 400, .message = std::move(message)});
}

HttpFailure not_json(std::size_t byte) {
  return invalid_json(concat("The request's body is not valid JSON in UTF-8: the fault is at byte ", byte, "."));
}

/// Builds the value that the parser reports. It throws instead of returning false, so that parsing ends at once.
class ValueBuilder final : public nlohmann::json_sax<json> {
 public:
  json take() { return std::move(root_); }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t& value) override { return add(std::move(value)); }
  bool start_object(std::size_t) override { return open(json::object()); }
  bool start_array(std::size_t) override { return open(json::array()); }
  bool key(string_t& name) override {
    member_ = &(*open_.back())[name];
    return true;
  }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool parse_error(std::size_t position, const std::string&, const json::exception& error) override {
    if (dynamic_cast<const json::out_of_range*>(&error)) {
      throw invalid_json("The request's body holds a number that is out of range.");
    }
    throw not_json(position);
  }

 private:
  bool add(json value) {
    place(std::move(value));
    return true;
  }

  // An element's address is stable while it is open, because nothing is added to the list around it meanwhile.
  json& place(json value) {
    if (++values_ > kMaxJsonValues) {
      throw invalid_json(concat("The JSON body has more than ", kMaxJsonValues, " values."));
    }
    if (open_.empty()) return root_ = std::move(value);
    if (!open_.back()->is_array()) return *member_ = std::move(value);
    open_.back()->push_back(std::move(value));
    return open_.back()->back();
  }

  bool open(json value) {
    if (open_.size() >= static_cast<std::size_t>(kMaxJsonDepth)) {
      throw invalid_json(concat("The JSON body is nested deeper than ", kMaxJsonDepth, " levels."));
    }
    open_.push_back(&place(std::move(value)));
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  json root_;
  std::vector<json*> open_;  // the lists and objects around the next value, outermost first
  json* member_ = nullptr;   // of the innermost object: the value of the latest key
  std::size_t values_ = 0;
};

json parse(std::string_view text) {
  ValueBuilder builder;
  json::sax_parse(text.begin(), text.end(), &builder);
  return builder.take();
}

}  // namespace

json parse_json_object(std::string_view text) {
  if (text.empty()) throw invalid_json("The request has no body; expected a JSON object.");
  // The parser takes a NUL byte for the end of its input and would ignore what follows it.
  if (const auto nul = text.find('\0'); nul != std::string_view::npos) throw not_json(nul + 1);
  auto body = parse(text);
  if (!body.is_object())
    throw invalid_json(concat("The request's body must be a JSON object, not a JSON ", body.type_name(), "."));
  return body;
}

std::optional<json> parse_json_value(std::string_view text) {
  if (text.find('\0') != std::string_view::npos) return std::nullopt;
  try {
    return parse(text);
  } catch (const HttpFailure&) {
    return std::nullopt;
  }
}

std::string json_text(const nlohmann::ordered_json& value) {
  return value.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace easel::http
