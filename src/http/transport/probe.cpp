#include "http/transport/probe.h"

#include <httplib.h>

#include "core/text.h"
#include "easel/error.h"

namespace easel::http {

int status_of(const std::string& host, int port, const std::string& path, std::chrono::milliseconds timeout) {
  const auto address = host == "0.0.0.0" ? "127.0.0.1" : host == "::" ? "::1" : host;
  httplib::Client client(address, port);
  client.set_connection_timeout(timeout);
  client.set_read_timeout(timeout);
  const auto result = client.Get(path);
  if (!result) {
    throw Error(ErrorCode::kUnavailable, concat("there is no response from ", address, ", port ", port, ": ",
                                                httplib::to_string(result.error())));
  }
  return result->status;
}

}  // namespace easel::http
