// The table of errors: every code.
#include "http/wire/http_error.h"

#include <gtest/gtest.h>
#include <httplib.h>

#include <nlohmann/json.hpp>

namespace easel::http {
namespace {

using nlohmann::json;

struct Row {
  ErrorCode code;
  int status;
  const char* wire_code;
  const char* should_retry;  // nullptr: no such header
  bool retry_after;
};

void expect_row(const HttpError& error, const Row& row) {
  EXPECT_EQ(error.status, row.status);
  EXPECT_EQ(error.code, row.wire_code);
  EXPECT_EQ(error.type, row.status == 429 ? "rate_limit_error" : row.status < 500 ? kInvalidRequest : kServerError);
  const auto* should_retry = error.headers.find("x-should-retry");
  ASSERT_EQ(should_retry != nullptr, row.should_retry != nullptr);
  if (should_retry) {
    EXPECT_EQ(*should_retry, row.should_retry);
  }
  EXPECT_EQ(error.headers.find("retry-after") != nullptr, row.retry_after);
}

TEST(HttpError, MapsEverySubmitErrorCode) {
  const Row rows[] = {
      {ErrorCode::kInvalidArgument, 400, "invalid_value", nullptr, false},
      {ErrorCode::kNotFound, 404, "model_not_found", nullptr, false},
      {ErrorCode::kUnsupported, 400, "unsupported_parameter", nullptr, false},
      {ErrorCode::kCorruptData, 500, "image_generation_failed", "false", false},
      {ErrorCode::kResourceExhausted, 429, "rate_limit_exceeded", nullptr, true},
      {ErrorCode::kUnavailable, 503, "server_unavailable", nullptr, true},
      {ErrorCode::kDeadlineExceeded, 504, "deadline_exceeded", "false", false},
      {ErrorCode::kCancelled, 503, "cancelled", "false", false},
      {ErrorCode::kInternal, 500, "image_generation_failed", "false", false},
      {ErrorCode::kDeviceLost, 503, "server_unavailable", nullptr, true},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(to_string(row.code));
    expect_row(http_error(Error(row.code, "what happened")), row);
  }
}

TEST(HttpError, GenerationErrorsAboutServerFilesReturn500) {
  const Row own_faults[] = {
      {ErrorCode::kNotFound, 500, "image_generation_failed", "false", false},
      {ErrorCode::kResourceExhausted, 500, "image_generation_failed", "false", false},
      {ErrorCode::kInvalidArgument, 500, "image_generation_failed", "false", false},
      {ErrorCode::kUnsupported, 500, "image_generation_failed", "false", false},
      {ErrorCode::kCorruptData, 500, "image_generation_failed", "false", false},
      {ErrorCode::kInternal, 500, "image_generation_failed", "false", false},
      {ErrorCode::kDeviceLost, 503, "server_unavailable", nullptr, true},
      {ErrorCode::kUnavailable, 503, "server_unavailable", nullptr, true},
      {ErrorCode::kDeadlineExceeded, 504, "deadline_exceeded", "false", false},
  };
  for (const auto& row : own_faults) {
    SCOPED_TRACE(to_string(row.code));
    expect_row(generation_error(Error(row.code, "what happened")), row);
  }
}

TEST(HttpError, GenerationErrorsAboutAFieldReturn400) {
  const auto error = generation_error(Error(ErrorCode::kInvalidArgument, "too many steps", "num_inference_steps"));
  EXPECT_EQ(error.status, 400);
  EXPECT_EQ(error.param, "num_inference_steps");
  EXPECT_EQ(error.message, "too many steps");
  EXPECT_EQ(generation_error(Error(ErrorCode::kUnsupported, "no", "scheduler")).status, 400);
}

TEST(HttpError, ModelThatIsServedNoMoreReturns404) {
  const auto error = generation_error(Error(ErrorCode::kNotFound, "model \"a\" is not served here", "model"));
  EXPECT_EQ(error.status, 404);
  EXPECT_EQ(error.code, "model_not_found");
  EXPECT_EQ(error.param, "model");
}

TEST(HttpError, ParamUsesWireNames) {
  EXPECT_EQ(http_error(Error(ErrorCode::kInvalidArgument, "x", "num_images")).param, "n");
  EXPECT_EQ(http_error(Error(ErrorCode::kInvalidArgument, "x", "width")).param, "size");
  EXPECT_EQ(http_error(Error(ErrorCode::kInvalidArgument, "x", "height")).param, "size");
  EXPECT_EQ(http_error(Error(ErrorCode::kInvalidArgument, "x", "eta")).param, "eta");
  EXPECT_EQ(http_error(Error(ErrorCode::kNotFound, "x")).param, "model");
}

TEST(HttpError, RetryableErrorsCarryRetryAfter) {
  const Error full(ErrorCode::kResourceExhausted, "full");
  EXPECT_EQ(*http_error(full, "17").headers.find("retry-after"), "17");
  EXPECT_EQ(*http_error(full).headers.find("retry-after"), "5") << "where there is no estimate";
  EXPECT_EQ(http_error(Error(ErrorCode::kInvalidArgument, "no"), "17").headers.find("retry-after"), nullptr);
}

TEST(HttpError, InternalDetailStaysOutOfTheResponse) {
  const auto error = http_error(Error(ErrorCode::kInternal, "/secret/path: device lost"));
  EXPECT_EQ(error.message.find("secret"), std::string::npos);
  EXPECT_EQ(error.detail, "/secret/path: device lost");
}

TEST(HttpError, BodyAlwaysHasAllFourKeys) {
  const auto bare = json::parse(error_body({.message = "m"}));
  EXPECT_EQ(bare, json::parse(R"({"error":{"message":"m","type":"invalid_request_error","param":null,"code":null}})"));
  const auto full = json::parse(error_body({.message = "m", .type = "t", .param = "p", .code = "c"}));
  EXPECT_EQ(full, json::parse(R"({"error":{"message":"m","type":"t","param":"p","code":"c"}})"));
}

TEST(HttpError, InvalidUtf8IsReplaced) {
  const auto body = json::parse(error_body({.message = "path \xff\xfe\n\"quoted\""}));
  EXPECT_EQ(body["error"]["message"], "path \xEF\xBF\xBD\xEF\xBF\xBD\n\"quoted\"");
}

TEST(HttpError, ResponseCarriesHeadersAndClose) {
  HttpError error{.status = 405, .message = "m", .close = true};
  error.headers.add("Allow", "GET");
  const auto answer = to_response(error);
  EXPECT_EQ(answer.status, 405);
  EXPECT_TRUE(answer.close);
  ASSERT_NE(answer.headers.find("allow"), nullptr);
  EXPECT_EQ(*answer.headers.find("content-type"), "application/json; charset=utf-8");
}

TEST(Message, EveryStatusInUseHasAReasonPhrase) {
  for (const int status :
       {200, 202, 204, 400, 401, 403, 404, 405, 408, 413, 414, 415, 417, 429, 431, 500, 501, 503, 504, 505}) {
    EXPECT_TRUE(status == 500 || httplib::status_message(status) != std::string(httplib::status_message(500)))
        << status;
  }
}

}  // namespace
}  // namespace easel::http
