// The routes about the server itself: what it is, whether it is well, whether it takes requests, and its metrics.
#pragma once

#include <atomic>
#include <string>

#include "easel/engine.h"
#include "easel/server.h"
#include "http/transport/message.h"

namespace easel::http {

/// Thread-safe. What it is made of must outlive it.
class StatusEndpoints {
 public:
  StatusEndpoints(Engine& engine, const ServerOptions& options, ServerMetrics& metrics,
                  const std::atomic<bool>& shutting_down)
      : engine_(engine), options_(options), metrics_(metrics), shutting_down_(shutting_down) {}

  /// GET / and GET /v1/: name, version, the default model, the model that upscales, and links to the other routes. A
  /// client that accepts text/html, as a browser does, gets a short page instead of JSON.
  Response root(const Headers& headers) const;
  /// GET /health: whether the process is well. It is also well while it loads a model or drains: a supervisor that
  /// restarts what answers 503 must leave it running.
  Response health() const;
  /// GET /ready: whether to send it requests.
  Response ready() const;
  /// GET /metrics, for Prometheus.
  Response metrics() const;

 private:
  /// "ready", "idle", "downloading", "loading", "failed" or "shutting_down".
  std::string default_model_status() const;

  Engine& engine_;
  const ServerOptions& options_;
  ServerMetrics& metrics_;
  const std::atomic<bool>& shutting_down_;
};

}  // namespace easel::http
