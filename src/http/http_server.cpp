// Wiring: listener, connections and service.
//
// HTTP/1.1 is spoken here by easel's own code, because what the contract asks of hostile requests is what the packaged
// libraries leave out: ambiguous framing refused, a whole head and body in bounded time, bounded chunked bodies,
// trailers, header values as they were sent, a client's leaving noticed, and an accept loop that no connection's
// failure ends.
#include "http/http_server.h"

#include <exception>
#include <optional>
#include <utility>

#include "core/log.h"
#include "core/text.h"
#include "http/openai/service.h"
#include "http/transport/listener.h"
#include "http/wire/http_error.h"

namespace easel {
namespace http {
namespace {

// Threads in addition to the ones of waiting image requests, so that /health and /v1/models always find one.
constexpr std::size_t kSpareThreads = 32;

class Server final : public HttpServer {
 public:
  Server(Engine& engine, ServerOptions options, const ConnectionTimeouts& timeouts)
      : service_(engine, std::move(options)),
        timeouts_(timeouts),
        listener_(service_.options().host, service_.options().port, service_.options().max_waiting + kSpareThreads,
                  [this](int socket) { serve(socket); }) {}

  int bind() override {
    const int port = listener_.bind();
    service_.set_loopback(listener_.loopback());
    return port;
  }
  void run() override { listener_.run(); }
  void begin_shutdown() override { service_.begin_shutdown(); }
  void stop() override { listener_.stop(); }

 private:
  bool under_load() const { return listener_.saturated() || listener_.stopping(); }

  void serve(int socket) {
    Connection connection(socket, timeouts_, [this] { return under_load(); });
    try {
      while (serve_one(connection)) {
      }
    } catch (const std::exception& error) {
      log::error(concat("a connection was dropped: ", error.what()));
    }
  }

  // True when another request may follow.
  bool serve_one(Connection& connection) {
    std::optional<RequestHead> head;
    std::optional<Response> response;
    try {
      head = connection.read_head();
      if (!head) return false;
      response = service_.handle(*head, connection);
      if (!response) return false;
    } catch (const ProtocolError& unreadable) {
      response = service_.error_response(protocol_error(unreadable));
    }
    const bool keep_alive = head && head->keep_alive && !response->close && !under_load() &&
                            connection.skip_body(service_.options().max_body_bytes);
    if (!connection.write(*response, keep_alive)) return false;
    if (!keep_alive) connection.linger();
    return keep_alive;
  }

  Service service_;
  const ConnectionTimeouts timeouts_;
  Listener listener_;  // last: its threads use all of the above
};

}  // namespace

std::unique_ptr<HttpServer> make_http_server(Engine& engine, ServerOptions options,
                                             const ConnectionTimeouts& timeouts) {
  return std::make_unique<Server>(engine, std::move(options), timeouts);
}

}  // namespace http

std::unique_ptr<HttpServer> make_http_server(Engine& engine, ServerOptions options) {
  return http::make_http_server(engine, std::move(options), http::ConnectionTimeouts{});
}

}  // namespace easel
