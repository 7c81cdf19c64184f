// What the transport refuses a request with. The layers above turn it into an error response of their own format.
#pragma once

#include <exception>
#include <string>
#include <utility>

namespace easel::http {

/// A request that cannot be read, with the HTTP status that says so. Thrown by the transport only.
class ProtocolError : public std::exception {
 public:
  struct Reason {
    int status = 400;
    std::string message = {};
    std::string part = {};  ///< the form part at fault, if it is one
    bool close = false;     ///< the connection cannot go on, e.g. because its framing is lost
  };

  explicit ProtocolError(Reason reason) : reason_(std::move(reason)) {}
  const char* what() const noexcept override { return reason_.message.c_str(); }
  const Reason& reason() const { return reason_; }

 private:
  Reason reason_;
};

}  // namespace easel::http
