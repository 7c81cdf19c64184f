// A pair of sockets that keeps the borders of what is sent, so that every piece arrives by itself.
#include "http/support/served_bytes.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <stdexcept>
#include <utility>

#include "http/transport/connection.h"

namespace easel::test {
namespace {

class BodyReader : public http::RequestHandler {
 public:
  BodyReader(std::size_t max_body_bytes, const http::Client::Sink& sink)
      : max_body_bytes_(max_body_bytes), sink_(sink) {}

  std::optional<http::Response> handle(const http::RequestHead& head, http::Client& client) override {
    if (served.body || served.refusal) {
      served.next_path = head.path;
      return http::Response{};
    }
    try {
      std::string body;
      client.receive_body(max_body_bytes_, [&](std::string_view piece) {
        if (sink_) sink_(piece);
        body += piece;
      });
      served.body = std::move(body);
    } catch (const http::ProtocolError& refused) {
      return refuse(refused);
    }
    return http::Response{};
  }
  http::Response refuse(const http::ProtocolError& error) override {
    if (!served.body) served.refusal = error;
    return {.status = error.reason().status, .headers = {}, .body = {}, .close = error.reason().close};
  }

  ServedBytes served;

 private:
  const std::size_t max_body_bytes_;
  const http::Client::Sink& sink_;
};

}  // namespace

ServedBytes serve_bytes(std::string_view bytes, std::size_t step, std::size_t max_body_bytes,
                        const http::Client::Sink& sink) {
  std::array<int, 2> sockets{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sockets.data()) != 0) {
    throw std::runtime_error("no pair of sockets");
  }
  const int buffer_bytes = 200'000;
  ::setsockopt(sockets[1], SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof buffer_bytes);
  BodyReader handler(max_body_bytes, sink);
  {
    http::Connection connection(http::Socket(sockets[0]), {}, [] { return http::Pressure::kNone; });
    for (std::size_t at = 0; at < bytes.size(); at += step) {
      const auto piece = bytes.substr(at, step);
      if (::send(sockets[1], piece.data(), piece.size(), MSG_NOSIGNAL) < 0) throw std::runtime_error("too many pieces");
    }
    ::shutdown(sockets[1], SHUT_WR);
    auto state = http::Connection::State::kWaiting;
    while (state != http::Connection::State::kEnded) {
      state = state == http::Connection::State::kReady ? connection.serve(handler) : connection.receive();
    }
  }
  ::close(sockets[1]);
  return handler.served;
}

}  // namespace easel::test
