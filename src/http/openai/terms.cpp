// Headers to SubmitOptions.
#include "http/openai/terms.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string_view>

#include "core/text.h"
#include "http/access/access.h"
#include "http/wire/fields.h"
#include "http/wire/http_error.h"

namespace easel::http {
namespace {

using std::chrono::milliseconds;

constexpr int kMaxPriority = 3;
constexpr double kLongestTimeout = 365.0 * 24 * 3600;  // seconds; more would overflow clocks

HttpFailure bad_header(const char* name, const std::string& value, const char* expected) {
  return HttpFailure({.status = 400,
                      .message = concat("The header ", name, " is ", quote(value), "; expected ", expected, "."),
                      .code = "invalid_value"});
}

// The whole text as a number, or none.
template <class Number>
std::optional<Number> number_of(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  return whole ? std::optional(number) : std::nullopt;
}

milliseconds read_timeout(const std::string& value) {
  const auto seconds = number_of<double>(trimmed(value));
  if (!seconds || !(*seconds > 0) || !std::isfinite(*seconds)) {
    throw bad_header(kTimeoutHeader, value, "a number of seconds above 0");
  }
  return milliseconds(std::llround(std::ceil(std::min(*seconds, kLongestTimeout) * 1000)));
}

int read_priority(const std::string& value, const Caller& caller) {
  const auto level = number_of<int>(trimmed(value));
  if (!level || std::abs(*level) > kMaxPriority) {
    throw bad_header(kPriorityHeader, value, "a whole number from -3 to 3");
  }
  check_operator(caller, "A priority");
  return *level;
}

const std::string* only(const Headers& headers, const char* name) {
  if (headers.count(name) > 1) {
    throw HttpFailure(
        {.status = 400, .message = concat("The header ", name, " was sent twice."), .code = "invalid_value"});
  }
  return headers.find(name);
}

}  // namespace

SubmitOptions terms_of(const Headers& headers, const Caller& caller, std::optional<milliseconds> max_timeout) {
  SubmitOptions terms;
  terms.account = caller.account;
  terms.share = caller.share;
  terms.max_unended_of_account = caller.max_requests;
  terms.timeout = max_timeout;
  if (const auto* value = only(headers, kTimeoutHeader)) {
    const auto asked = read_timeout(*value);
    terms.timeout = max_timeout ? std::min(asked, *max_timeout) : asked;
  }
  if (const auto* value = only(headers, kPriorityHeader)) terms.priority = read_priority(*value, caller);
  return terms;
}

}  // namespace easel::http
