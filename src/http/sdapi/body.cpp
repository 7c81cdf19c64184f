#include "http/sdapi/body.h"

#include <cmath>
#include <stdexcept>

#include "core/text.h"
#include "http/sdapi/members.h"
#include "http/wire/http_error.h"

namespace easel::http::sdapi {
namespace {

using nlohmann::json;

constexpr double kMaxInteger = 9.2e18;

HttpFailure wrong(const char* name, const char* expected, const json& found) {
  return HttpFailure({.status = 422,
                      .message = concat("`", name, "` must be ", expected, ", not a JSON ", found.type_name(), "."),
                      .param = name,
                      .code = "invalid_type"});
}

}  // namespace

const json* Body::find(const char* name) {
  if (!is_member(name)) throw std::logic_error(concat("the table of members has no row for ", name));
  read_.insert(name);
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

std::optional<std::string> Body::text(const char* name) {
  const auto* value = find(name);
  if (!value) return std::nullopt;
  if (!value->is_string()) throw wrong(name, "a string", *value);
  return value->get<std::string>();
}

std::optional<double> Body::number(const char* name) {
  const auto* value = find(name);
  if (!value) return std::nullopt;
  if (!value->is_number()) throw wrong(name, "a number", *value);
  return value->get<double>();
}

std::optional<std::int64_t> Body::integer(const char* name) {
  const auto* value = find(name);
  if (!value) return std::nullopt;
  if (value->is_number_unsigned() && value->get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX)) {
    throw wrong(name, "an integer of at most 63 bits", *value);
  }
  if (value->is_number_integer()) return value->get<std::int64_t>();
  const auto number = this->number(name);
  if (std::abs(*number) > kMaxInteger) throw wrong(name, "an integer of at most 63 bits", *value);
  return static_cast<std::int64_t>(*number);
}

bool Body::flag(const char* name, bool otherwise) {
  const auto* value = find(name);
  if (!value) return otherwise;
  if (value->is_boolean()) return value->get<bool>();
  if (value->is_number()) return value->get<double>() != 0;
  throw wrong(name, "true or false", *value);
}

std::vector<std::string> Body::unread() const {
  std::vector<std::string> names;
  for (const auto& [name, value] : object_.items()) {
    if (!read_.contains(name) && !is_neutral(value)) names.push_back(name);
  }
  return names;
}

bool is_neutral(const json& value) {
  if (value.is_null()) return true;
  if (value.is_boolean()) return !value.get<bool>();
  if (value.is_number()) return value.get<double>() == 0;
  if (value.is_string()) return value.get_ref<const std::string&>().empty();
  return value.empty();
}

}  // namespace easel::http::sdapi
