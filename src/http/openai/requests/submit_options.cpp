// Headers to SubmitOptions.
#include "http/openai/requests/submit_options.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string_view>

#include "core/text.h"
#include "http/access/access.h"
#include "http/wire/http_error.h"

namespace easel::http {
namespace {

using std::chrono::milliseconds;

constexpr double kMaxTimeout = 365.0 * 24 * 3600;  // seconds; more would overflow clocks

HttpFailure bad_header(const char* name, const std::string& value, const std::string& expected) {
  return HttpFailure({.status = 400,
                      .message = concat("The header ", name, " is ", quote(value), "; expected ", expected, "."),
                      .code = "invalid_value"});
}

// None unless the whole text is a number.
template <class Number>
std::optional<Number> parse_number(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  return whole ? std::optional(number) : std::nullopt;
}

milliseconds read_timeout(const std::string& value) {
  const auto seconds = parse_number<double>(trimmed(value));
  if (!seconds || !(*seconds > 0) || !std::isfinite(*seconds)) {
    throw bad_header(kTimeoutHeader, value, "a number of seconds above 0");
  }
  return milliseconds(std::llround(std::ceil(std::min(*seconds, kMaxTimeout) * 1000)));
}

int read_priority(const std::string& value, const Principal& principal) {
  const auto level = parse_number<int>(trimmed(value));
  if (!level || *level < -kMaxPriority || *level > kMaxPriority) {
    throw bad_header(kPriorityHeader, value, concat("an integer from ", -kMaxPriority, " to ", kMaxPriority));
  }
  check_operator(principal, "A priority");
  return *level;
}

const std::string* sole_header(const Headers& headers, const char* name) {
  if (headers.count(name) > 1) {
    throw HttpFailure(
        {.status = 400, .message = concat("The header ", name, " was sent twice."), .code = "invalid_value"});
  }
  return headers.find(name);
}

}  // namespace

SubmitOptions read_submit_options(const Headers& headers, const Principal& principal,
                                  std::optional<milliseconds> max_timeout) {
  SubmitOptions submit_options;
  submit_options.account = principal.account;
  submit_options.share = principal.share;
  submit_options.max_pending_per_account = principal.max_requests;
  submit_options.timeout = max_timeout;
  if (const auto* value = sole_header(headers, kTimeoutHeader)) {
    const auto asked = read_timeout(*value);
    submit_options.timeout = max_timeout ? std::min(asked, *max_timeout) : asked;
  }
  if (const auto* value = sole_header(headers, kPriorityHeader))
    submit_options.priority = read_priority(*value, principal);
  return submit_options;
}

}  // namespace easel::http
