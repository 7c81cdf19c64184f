// Wiring: the transport in front of the service.
#include "http/http_server.h"

#include <optional>
#include <utility>

#include "http/openai/service.h"
#include "http/sdapi/sdapi.h"
#include "http/transport/reactor.h"
#include "http/transport/request_handler.h"
#include "http/wire/http_error.h"

namespace easel {
namespace http {
namespace {

// Threads in addition to the ones that image requests may hold, so that /health and /v1/models always find one.
constexpr std::size_t kSpareThreads = 32;

class Server final : public HttpServer, private RequestHandler {
 public:
  Server(Engine& engine, ServerOptions options, const ConnectionTimeouts& timeouts)
      : service_(engine, std::move(options), &sdapi::make_extension), reactor_(timeouts, *this) {}

  int bind() override {
    const auto& options = service_.options();
    return reactor_.listen(options.host, options.port, options.max_waiting + kSpareThreads, kSpareThreads);
  }
  void run() override { reactor_.run(); }
  void begin_shutdown() override { service_.begin_shutdown(); }
  void stop() override { reactor_.stop(); }

 private:
  std::optional<Response> handle(const RequestHead& head, Client& client) override {
    return service_.handle(head, client);
  }
  Response refuse(const ProtocolError& error) override { return service_.error_response(protocol_error(error)); }

  Service service_;
  Reactor reactor_;  // last: its threads use the service
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
