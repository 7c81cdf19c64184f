// The headers x-easel-timeout and x-easel-priority: valid values, and which clients may send them.
#include "http/openai/requests/submit_options.h"

#include <gtest/gtest.h>

#include <string>

#include "http/wire/http_error.h"

namespace easel::http {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

constexpr std::optional<milliseconds> kNoLimit = std::nullopt;
const Principal kOperator{.account = "ops", .share = 2.5, .max_requests = 3, .is_operator = true};

Headers with_header_field(const char* name, const std::string& value) {
  Headers headers;
  headers.add(name, value);
  return headers;
}

int header_refusal(const char* name, const std::string& value, const Principal& principal = kOperator) {
  try {
    read_submit_options(with_header_field(name, value), principal, kNoLimit);
  } catch (const HttpFailure& failure) {
    return failure.error().status;
  }
  return 0;
}

TEST(SubmitOptions, InvalidTimeoutsReturn400) {
  for (const char* value :
       {"", "0", "-1", "0.0", "abc", "1s", "1 2", "1,5", "nan", "inf", "-inf", "1e999", "0x10", "+1"}) {
    EXPECT_EQ(header_refusal(kTimeoutHeader, value), 400) << value;
  }
  auto twice = with_header_field(kTimeoutHeader, "1");
  twice.add("X-Easel-Timeout", "2");
  EXPECT_THROW(read_submit_options(twice, {}, kNoLimit), HttpFailure);
}

TEST(SubmitOptions, ShorterTimeoutWins) {
  const auto timeout = [](const char* value, std::optional<milliseconds> max) {
    return read_submit_options(with_header_field(kTimeoutHeader, value), {}, max).timeout;
  };
  EXPECT_EQ(timeout("1.5", kNoLimit), 1500ms);
  EXPECT_EQ(timeout(" 20 ", 60s), 20s);
  EXPECT_EQ(timeout("100", 60s), 60s);
  EXPECT_EQ(timeout("1e300", 60s), 60s);
  EXPECT_EQ(timeout("0.0000001", kNoLimit), 1ms) << "above 0 stays above 0";
  EXPECT_GT(*timeout("1e300", kNoLimit), 24h);
  EXPECT_EQ(read_submit_options({}, {}, 60s).timeout, 60s);
  EXPECT_EQ(read_submit_options({}, {}, kNoLimit).timeout, std::nullopt);
}

TEST(SubmitOptions, PriorityRequiresAnOperator) {
  for (const char* value : {"", "4", "-4", "1.0", "high", "99999999999", "2 1", "-2147483648", "2147483647"}) {
    EXPECT_EQ(header_refusal(kPriorityHeader, value), 400) << value;
  }
  for (const char* value : {"0", "3", "-3"}) {
    EXPECT_EQ(read_submit_options(with_header_field(kPriorityHeader, value), kOperator, kNoLimit).priority,
              std::stoi(value));
    EXPECT_EQ(header_refusal(kPriorityHeader, value, {.account = "ann"}), 403) << value;
  }
  EXPECT_EQ(read_submit_options({}, kOperator, kNoLimit).priority, 0);
}

TEST(SubmitOptions, CarryThePrincipalsShareAndLimit) {
  const auto submit_options = read_submit_options({}, kOperator, kNoLimit);
  EXPECT_EQ(submit_options.account, "ops");
  EXPECT_EQ(submit_options.share, 2.5);
  EXPECT_EQ(submit_options.max_pending_per_account, 3u);
}

}  // namespace
}  // namespace easel::http
