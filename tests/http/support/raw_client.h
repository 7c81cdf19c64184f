// A client that sends exactly the bytes it is given; an HTTP library could not imitate hostile or unusual clients.
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace easel::test {

struct Response {
  int status = 0;  ///< 0: the connection ended without one
  std::string reason;
  std::map<std::string, std::string> headers;  ///< names in lower case
  std::string body;

  bool has(const std::string& name) const { return headers.count(name) > 0; }
  std::string header(const std::string& name) const { return has(name) ? headers.at(name) : ""; }
  /// nlohmann's discarded value, which equals no other, when the body is not JSON.
  nlohmann::json json() const { return nlohmann::json::parse(body, nullptr, /*allow_exceptions=*/false); }
};

/// One connection to 127.0.0.1. Any wait ends after 20 s.
class RawClient {
 public:
  explicit RawClient(int port);
  ~RawClient();
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  /// False when the server has closed.
  bool send(std::string_view bytes);
  /// The next response on the connection; interim ones (100) count.
  Response read(bool bodiless = false);
  /// The next chunk of a chunked body whose head was read; none after the last one, or when the connection ends early.
  std::optional<std::string> read_chunk();
  /// Everything until the server ends the connection.
  std::string read_to_end();
  Response exchange(std::string_view request) {
    send(request);
    return read(request.substr(0, 4) == "HEAD");
  }
  /// True when the server ends the connection within the time and sends nothing more.
  bool ended_within(std::chrono::milliseconds time);
  void end_sending();
  void close();
  void reset();  ///< closes with a RST instead of a FIN

 private:
  bool receive();

  int socket_ = -1;
  std::string received_;
};

using Fields = std::vector<std::pair<std::string, std::string>>;

/// A whole HTTP/1.1 request with a Host of localhost, unless `fields` has one, and a Content-Length if there is a body.
std::string request_text(const std::string& method, const std::string& target, const std::string& body = "",
                         const Fields& fields = {});

/// A POST of JSON to /v1/images/generations.
std::string image_request(const std::string& body, const Fields& more_fields = {});

}  // namespace easel::test
