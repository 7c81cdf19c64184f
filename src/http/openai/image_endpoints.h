// The image routes: from a body to images, with an eye on the client while they are drawn.
#pragma once

#include <atomic>
#include <cstddef>
#include <optional>
#include <string>

#include "easel/engine.h"
#include "easel/server.h"
#include "http/openai/openai_images.h"
#include "http/openai/request_record.h"
#include "http/transport/client.h"
#include "http/transport/message.h"
#include "http/transport/request_head.h"
#include "http/transport/turnstile.h"

namespace easel::http {

/// Thread-safe. The engine and the options must outlive it.
class ImageEndpoints {
 public:
  ImageEndpoints(Engine& engine, const ServerOptions& options) : engine_(engine), options_(options) {}

  /// Draws what the request asks for. Blocks until it is drawn; a client that leaves cancels it.
  /// @param default_model  meant when the body names no model; empty: the engine's first
  /// @param record         receives what the log says of the drawing, once the body is understood
  /// @return none when the client has left
  /// @throws HttpFailure
  std::optional<Response> handle(ImageTask task, const RequestHead& head, const std::string& default_model,
                                 Client& client, RequestRecord& record);

  /// From now on answer() throws 503.
  void begin_shutdown() { shutting_down_ = true; }
  bool shutting_down() const { return shutting_down_; }

 private:
  /// Images are decoded by a few threads at a time: each may take some hundred megabytes while it lasts.
  static constexpr std::size_t kMaxConcurrentDecodes = 4;

  GenerationRequest read_request(ImageTask task, const RequestHead& head, const std::string& default_model,
                                 Client& client);

  Engine& engine_;
  const ServerOptions& options_;
  Turnstile decoding_{kMaxConcurrentDecodes};
  std::atomic<std::size_t> in_flight_ = 0;  // requests between submit and their end
  std::atomic<bool> shutting_down_ = false;
};

}  // namespace easel::http
