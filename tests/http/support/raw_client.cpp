#include "http/support/raw_client.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "core/text.h"

namespace easel::test {
namespace {

constexpr int kTimeoutMs = 20'000;

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

Response parse_head(const std::string& head) {
  Response response;
  std::istringstream lines(head);
  std::string line, version;
  std::getline(lines, line);
  std::istringstream first(line);
  first >> version >> response.status >> std::ws;
  std::getline(first, response.reason, '\r');
  while (std::getline(lines, line) && line != "\r") {
    const auto colon = line.find(": ");
    response.headers[lower(line.substr(0, colon))] = line.substr(colon + 2, line.size() - colon - 3);
  }
  return response;
}

}  // namespace

RawClient::RawClient(int port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    ::close(socket_);
    throw std::runtime_error("the server does not accept");
  }
}

RawClient::~RawClient() {
  close();
}

bool RawClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto count = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
  return true;
}

bool RawClient::receive() {
  pollfd poller{socket_, POLLIN, 0};
  if (::poll(&poller, 1, kTimeoutMs) <= 0) return false;
  std::array<char, 65536> bytes;
  const auto count = ::recv(socket_, bytes.data(), bytes.size(), 0);
  if (count <= 0) return false;
  received_.append(bytes.data(), static_cast<std::size_t>(count));
  return true;
}

Response RawClient::read(bool bodiless) {
  std::size_t end;
  while ((end = received_.find("\r\n\r\n")) == std::string::npos) {
    if (!receive()) return {};
  }
  auto response = parse_head(received_.substr(0, end + 4));
  received_.erase(0, end + 4);
  if (bodiless || !response.has("content-length")) return response;
  const auto length = std::stoul(response.header("content-length"));
  while (received_.size() < length) {
    if (!receive()) return {};
  }
  response.body = received_.substr(0, length);
  received_.erase(0, length);
  return response;
}

std::optional<std::string> RawClient::read_chunk() {
  std::size_t line_end;
  while ((line_end = received_.find("\r\n")) == std::string::npos) {
    if (!receive()) return std::nullopt;
  }
  const auto size = std::stoul(received_.substr(0, line_end), nullptr, 16);
  const auto begin = line_end + 2;
  while (received_.size() < begin + size + 2) {
    if (!receive()) return std::nullopt;
  }
  auto chunk = received_.substr(begin, size);
  received_.erase(0, begin + size + 2);
  return size == 0 ? std::nullopt : std::optional(std::move(chunk));
}

std::string RawClient::read_to_end() {
  while (receive()) {
  }
  return std::exchange(received_, {});
}

bool RawClient::ended_within(std::chrono::milliseconds time) {
  pollfd poller{socket_, POLLIN, 0};
  char byte;
  return received_.empty() && ::poll(&poller, 1, static_cast<int>(time.count())) == 1 &&
         ::recv(socket_, &byte, 1, 0) <= 0;
}

void RawClient::end_sending() {
  ::shutdown(socket_, SHUT_WR);
}

void RawClient::close() {
  if (socket_ >= 0) ::close(socket_);
  socket_ = -1;
}

void RawClient::reset() {
  const linger at_once{1, 0};
  setsockopt(socket_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close();
}

std::string request_text(const std::string& method, const std::string& target, const std::string& body,
                         const Fields& fields) {
  std::string text = concat(method, " ", target, " HTTP/1.1\r\n");
  bool has_host = false;
  for (const auto& [name, value] : fields) {
    text += concat(name, ": ", value, "\r\n");
    has_host |= lower(name) == "host";
  }
  if (!has_host) text += "Host: localhost\r\n";
  if (!body.empty()) text += concat("Content-Length: ", body.size(), "\r\n");
  return text + "\r\n" + body;
}

std::string image_request(const std::string& body, const Fields& more_fields) {
  Fields fields = {{"Content-Type", "application/json"}};
  fields.insert(fields.end(), more_fields.begin(), more_fields.end());
  return request_text("POST", "/v1/images/generations", body, fields);
}

}  // namespace easel::test
