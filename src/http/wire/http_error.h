// Every failure as an HTTP answer: the one place where ErrorCode meets a status, and OpenAI's error object is written.
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

/// An error answer in OpenAI's terms. `param` and `code` are null on the wire when empty.
struct HttpError {
  int status = 400;
  std::string message = {};
  std::string type = kInvalidRequest;
  std::string param = {};
  std::string code = {};
  Headers headers = {};     ///< what this error needs beside the usual ones, e.g. Allow
  bool close = false;       ///< the connection cannot go on, e.g. because its framing is lost
  std::string detail = {};  ///< for the log alone
};

/// Thrown within the http layer to end a request with this error.
class HttpFailure : public std::exception {
 public:
  explicit HttpFailure(HttpError error) : error_(std::move(error)) {}
  const char* what() const noexcept override { return error_.message.c_str(); }
  const HttpError& error() const { return error_; }

 private:
  HttpError error_;
};

/// What Engine::submit threw.
/// @param retry_after  value of the header of that name, for errors that are worth repeating; none: a few seconds
HttpError http_error(const Error& error, const std::optional<std::string>& retry_after = std::nullopt);

/// What Job::take threw. Differs where the same code speaks of the server instead of the request: a file that is not
/// there is no 404, and a device without memory will not have more of it when the client tries again.
HttpError generation_error(const Error& error);

/// A failure that no code foresaw. The client learns no detail; the log does.
HttpError unexpected_error(std::string detail);

/// What the transport refused a request with.
HttpError protocol_error(const ProtocolError& error);

/// {"error": {"message", "type", "param", "code"}}, all four always. Bytes that are no UTF-8 become U+FFFD.
std::string error_body(const HttpError& error);

Response to_response(const HttpError& error);

}  // namespace easel::http
