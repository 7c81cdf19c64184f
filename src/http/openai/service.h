// From a request's head to its answer: access, routing, the headers that every answer has, one log line a request.
// Knows no sockets.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "easel/engine.h"
#include "easel/server.h"
#include "http/access/access.h"
#include "http/access/api_keys.h"
#include "http/metrics/metrics.h"
#include "http/openai/image_endpoints.h"
#include "http/openai/model_endpoints.h"
#include "http/openai/request_record.h"
#include "http/openai/routes.h"
#include "http/transport/client.h"
#include "http/transport/message.h"
#include "http/transport/request_head.h"
#include "http/wire/http_error.h"

namespace easel::http {

/// Thread-safe once start() was called. The engine must outlive it.
class Service {
 public:
  /// @throws Error  options that make no sense, e.g. an empty API key, or a file of keys that cannot be read
  Service(Engine& engine, ServerOptions options);

  /// @param loopback  listening where only this machine can call: foreign host names are refused
  void start(bool loopback);

  /// Never throws for what a client did: every failure is an answer.
  /// @return none when the client has left and nobody reads an answer
  std::optional<Response> handle(const RequestHead& head, Client& client);

  /// The answer to a request whose head could not be read.
  Response error_response(const HttpError& error);

  /// Image requests get 503 from now on, and connections end with their next answer.
  void begin_shutdown() { image_endpoints_.begin_shutdown(); }

  const ServerOptions& options() const { return options_; }

 private:
  std::optional<Response> dispatch(const RequestHead& head, Client& client, RequestRecord& record);
  std::optional<Response> call(const RouteMatch& match, const RequestHead& head, Client& client, RequestRecord& record);
  Response root() const;
  Response health() const;
  Response ready() const;
  Response metrics();
  /// "ready", "idle", "loading", "failed" or "shutting_down".
  std::string default_model_status() const;

  Engine& engine_;
  const ServerOptions options_;
  ApiKeys keys_;
  std::optional<Access> access_;
  ImageEndpoints image_endpoints_;
  ModelEndpoints model_endpoints_;
  const std::shared_ptr<PrometheusMetrics> metrics_;
};

}  // namespace easel::http
