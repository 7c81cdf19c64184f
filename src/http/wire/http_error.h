// Every failure as an HTTP response: the only place that maps ErrorCode to a status and writes OpenAI's error object.
#pragma once

#include <exception>
#include <optional>
#include <string>
#include <utility>

#include "easel/error.h"
#include "http/transport/message.h"
#include "http/transport/protocol_error.h"

namespace easel::http {

inline constexpr char kInvalidRequest[] = "invalid_request_error";
inline constexpr char kServerError[] = "server_error";

/// An error response in OpenAI's terms. `param` and `code` are null in JSON when empty.
struct HttpError {
  int status = 400;
  std::string message = {};
  std::string type = kInvalidRequest;
  std::string param = {};
  std::string code = {};
  Headers headers = {};     ///< in addition to the usual ones, e.g. Allow
  bool close = false;       ///< the connection cannot go on, e.g. because its framing is lost
  std::string detail = {};  ///< for the log only
};

/// Thrown within the http layer: the request ends with this error.
class HttpFailure : public std::exception {
 public:
  explicit HttpFailure(HttpError error) : error_(std::move(error)) {}
  const char* what() const noexcept override { return error_.message.c_str(); }
  const HttpError& error() const { return error_; }

 private:
  HttpError error_;
};

/// The response to what Engine::submit threw.
/// @param retry_after  value of the retry-after header of errors that are worth a retry; none: a few seconds
HttpError http_error(const Error& error, const std::optional<std::string>& retry_after = std::nullopt);

/// The response to what Job::take threw. It differs from http_error() where the same code is the server's fault instead
/// of the request's: a missing file is not a 404, and a device that is out of memory will not have more of it when the
/// client tries again.
HttpError generation_error(const Error& error);

/// The response to any other exception. The detail goes to the log, not to the client.
HttpError unexpected_error(std::string detail);

/// The response to a request that the transport refused.
HttpError protocol_error(const ProtocolError& error);

/// {"error": {"message", "type", "param", "code"}}, all four always. Bytes that are not UTF-8 become U+FFFD.
std::string error_body(const HttpError& error);

Response to_response(const HttpError& error);

}  // namespace easel::http
