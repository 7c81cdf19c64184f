// The whole table from ErrorCode to status, type and code.
#include "http/wire/http_error.h"

#include "http/wire/json_text.h"

namespace easel::http {
namespace {

using nlohmann::ordered_json;

constexpr char kRetryAfterSeconds[] = "5";

enum class Retry {
  kUsual,  // clients' own rules: they retry a 5xx and a 429
  kLater,  // worth a retry after a while
  kNever,  // the same request would fail again, and SDKs would send it three times
};

struct ErrorRow {
  ErrorCode code;
  int status;
  const char* type;
  const char* wire_code;
  Retry retry;
};

// One row per ErrorCode, in the order of the enumeration.
constexpr ErrorRow kErrorRows[] = {
    {ErrorCode::kInvalidArgument, 400, kInvalidRequest, "invalid_value", Retry::kUsual},
    {ErrorCode::kNotFound, 404, kInvalidRequest, "model_not_found", Retry::kUsual},
    {ErrorCode::kUnsupported, 400, kInvalidRequest, "unsupported_parameter", Retry::kUsual},
    {ErrorCode::kCorruptData, 500, kServerError, "image_generation_failed", Retry::kNever},
    {ErrorCode::kResourceExhausted, 429, "rate_limit_error", "rate_limit_exceeded", Retry::kLater},
    {ErrorCode::kUnavailable, 503, kServerError, "server_unavailable", Retry::kLater},
    {ErrorCode::kDeadlineExceeded, 504, kServerError, "deadline_exceeded", Retry::kNever},
    {ErrorCode::kCancelled, 503, kServerError, "cancelled", Retry::kNever},
    {ErrorCode::kInternal, 500, kServerError, "image_generation_failed", Retry::kNever},
    // The process ends, or other devices go on; either way the request can be sent again.
    {ErrorCode::kDeviceLost, 503, kServerError, "server_unavailable", Retry::kLater},
};

// The engine uses diffusers' names; a client knows only the names that it sent.
std::string wire_name(const std::string& param) {
  if (param == "num_images") return "n";
  if (param == "width" || param == "height") return "size";
  return param;
}

HttpError from_row(const ErrorRow& row, const Error& error, const std::string& retry_after = kRetryAfterSeconds) {
  HttpError result{.status = row.status,
                   .message = error.what(),
                   .type = row.type,
                   .param = wire_name(error.param()),
                   .code = row.wire_code};
  if (row.retry == Retry::kLater) result.headers.add("retry-after", retry_after);
  if (row.retry == Retry::kNever) result.headers.add("x-should-retry", "false");
  return result;
}

ordered_json string_or_null(const std::string& text) {
  return text.empty() ? ordered_json(nullptr) : ordered_json(text);
}

}  // namespace

HttpError http_error(const Error& error, const std::optional<std::string>& retry_after) {
  if (error.code() == ErrorCode::kInternal) return unexpected_error(error.what());
  const auto& row = kErrorRows[static_cast<std::size_t>(error.code())];
  auto result = from_row(row, error, retry_after.value_or(kRetryAfterSeconds));
  if (error.code() == ErrorCode::kNotFound && result.param.empty()) result.param = "model";
  return result;
}

HttpError generation_error(const Error& error) {
  const bool names_field = !error.param().empty();
  switch (error.code()) {
    case ErrorCode::kResourceExhausted:
      break;
    case ErrorCode::kNotFound:  // with a field: a model that is served no more
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kUnsupported:
      // Without a field the fault is in the model's files.
      if (names_field) return http_error(error);
      break;
    default:
      return http_error(error);
  }
  return from_row({error.code(), 500, kServerError, "image_generation_failed", Retry::kNever}, error);
}

HttpError unexpected_error(std::string detail) {
  HttpError result{
      .status = 500,
      .message = "The server failed on this request; its log has the reason under the request's x-request-id.",
      .type = kServerError,
      .code = "image_generation_failed",
      .detail = std::move(detail)};
  result.headers.add("x-should-retry", "false");
  return result;
}

HttpError protocol_error(const ProtocolError& error) {
  const auto& reason = error.reason();
  HttpError result{.status = reason.status, .message = reason.message, .param = reason.part, .close = reason.close};
  if (reason.status == 429) {
    const auto& row = kErrorRows[static_cast<std::size_t>(ErrorCode::kResourceExhausted)];
    result.type = row.type;
    result.code = row.wire_code;
    result.headers.add("retry-after", kRetryAfterSeconds);
  }
  return result;
}

std::string error_body(const HttpError& error) {
  return json_text({{"error",
                     {{"message", error.message},
                      {"type", error.type},
                      {"param", string_or_null(error.param)},
                      {"code", string_or_null(error.code)}}}});
}

Response to_response(const HttpError& error) {
  auto result = json_response(error.status, error_body(error));
  for (const auto& field : error.headers) result.headers.add(field.name, field.value);
  result.close = error.close;
  return result;
}

}  // namespace easel::http
