// From a request's head to its response: access, routing, the headers that every response has, one log line per
// request. Sockets are the transport's business.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "easel/engine.h"
#include "easel/server.h"
#include "http/access/access.h"
#include "http/access/api_keys.h"
#include "http/openai/endpoints.h"
#include "http/openai/request_record.h"
#include "http/openai/responses/image_store.h"
#include "http/openai/route_extension.h"
#include "http/openai/routes.h"
#include "http/transport/client.h"
#include "http/transport/message.h"
#include "http/transport/request_head.h"
#include "http/wire/http_error.h"

namespace easel::http {

/// Thread-safe. The engine must outlive it.
class Service {
 public:
  /// @throws Error  an option is not valid, e.g. an empty API key, or the key file cannot be read
  /// @param make_extension  of further routes; may be empty
  Service(Engine& engine, ServerOptions options, const ExtensionFactory& make_extension = {});

  /// Whatever a client did wrong becomes an error response; it is never thrown.
  /// @return none when the client has left and nobody reads the response
  std::optional<Response> handle(const RequestHead& head, Client& client);

  /// The response to a request whose head could not be read.
  Response error_response(const HttpError& error);

  /// Image requests get 503 from now on, and connections end with their next response.
  void begin_shutdown() {
    shutting_down_ = true;
    endpoints_.images.begin_shutdown();
  }

  const ServerOptions& options() const { return options_; }

 private:
  RouteMatch match(const RequestHead& head) const;
  Response failed(const RequestHead& head, const RequestRecord& record, const HttpError& error) const;
  std::optional<Response> dispatch(const RequestHead& head, Client& client, RequestRecord& record);

  const ServerOptions options_;
  const std::shared_ptr<ServerMetrics> metrics_;
  std::atomic<bool> shutting_down_ = false;
  ApiKeys keys_;
  Access access_;
  ImageStore store_;
  KeptRequests kept_;
  Endpoints endpoints_;
  const std::unique_ptr<RouteExtension> extension_;  // may be null
};

}  // namespace easel::http
