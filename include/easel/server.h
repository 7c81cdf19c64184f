// The HTTP side: OpenAI's Images API in front of an engine.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "easel/engine.h"
#include "easel/observer.h"

namespace easel {

/// What GET /metrics shows. Give it to the engine as its observer and to the server. Thread-safe.
class ServerMetrics : public EngineObserver {};

/// @param version  of the program, shown as a label
std::shared_ptr<ServerMetrics> make_metrics(const std::string& version);

struct ServerOptions {
  std::string host = "127.0.0.1";
  int port = 9225;                         ///< 0 takes a free one
  std::vector<std::string> api_keys = {};  ///< empty: any key, or none, will do
  std::string api_keys_file = {};  ///< JSON with hashed keys, their names and limits; read again when it changes
  std::vector<std::string> allowed_origins =
      {};                                       ///< web origins that may call, e.g. "https://chat.example"; "*" for all
  std::size_t max_body_bytes = 1u << 20;        ///< of JSON, and of a form's texts
  std::size_t max_image_bytes = 20u << 20;      ///< of one uploaded file; a request has up to two
  std::int64_t max_image_pixels = 4096 * 4096;  ///< of an uploaded image, width times height
  std::int64_t max_images = 10;                 ///< n
  int min_edge = 16;                            ///< pixels, either edge
  int max_edge = 2048;                          ///< pixels, either edge
  std::int64_t max_pixels = 2048 * 2048;
  std::int64_t max_steps = 250;
  std::size_t max_prompt_chars = 32000;  ///< code points
  std::size_t max_waiting = 64;          ///< the engine's limit: there are always more threads than that
  /// From acceptance to the answer, at most; a request may ask for less. None: no limit but the client's patience.
  std::optional<std::chrono::milliseconds> request_timeout = {};
  std::string version = {};                     ///< shown by GET /v1/
  std::shared_ptr<ServerMetrics> metrics = {};  ///< made by make_metrics; null: figures of HTTP alone
};

/// Serves an engine over HTTP. bind, then run on one thread; stop from any other. The engine must outlive it.
class HttpServer {
 public:
  virtual ~HttpServer() = default;
  /// Takes the address and starts the threads that will serve.
  /// @return the port listened on
  /// @throws Error(kUnavailable)  the address cannot be had, e.g. the port is in use; or there are no threads to be had
  virtual int bind() = 0;
  /// Serves until stop() and until the answers under way are written.
  virtual void run() = 0;
  /// New image requests and /ready get 503 from now on. What is being drawn goes on. Async-signal-unsafe.
  virtual void begin_shutdown() = 0;
  /// Ends run().
  virtual void stop() = 0;
};

std::unique_ptr<HttpServer> make_http_server(Engine& engine, ServerOptions options);

}  // namespace easel
