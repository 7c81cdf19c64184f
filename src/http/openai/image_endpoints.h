// The image routes: from a body to images, watching meanwhile whether the client is still there.
#pragma once

#include <atomic>
#include <cstddef>
#include <optional>
#include <semaphore>
#include <string>

#include "easel/engine.h"
#include "easel/server.h"
#include "http/openai/openai_images.h"
#include "http/openai/request_record.h"
#include "http/transport/client.h"
#include "http/transport/message.h"
#include "http/transport/request_head.h"
#include "http/transport/upload_memory.h"

namespace easel::http {

/// Thread-safe. What it is made of must outlive it.
class ImageEndpoints {
 public:
  /// @throws Error(kInvalidArgument)  ServerOptions::upload_memory is too small for one body
  ImageEndpoints(Engine& engine, const ServerOptions& options, const std::atomic<bool>& shutting_down);

  /// Generates what the request asks for. Blocks until the images are finished; a client that leaves cancels them.
  /// @param default_model  the model of a body that names none; empty: the engine's first
  /// @param record         receives the log fields of the generation, once the body has been read
  /// @return none when the client has left
  /// @throws HttpFailure, ProtocolError; 503 once the server shuts down
  std::optional<Response> handle(ImageTask task, const RequestHead& head, const std::string& default_model,
                                 Client& client, RequestRecord& record);

 private:
  /// Uploaded images are decoded by a few threads at a time: each may take some hundred megabytes meanwhile.
  static constexpr std::ptrdiff_t kMaxConcurrentDecodes = 4;

  GenerationRequest read_request(ImageTask task, const RequestHead& head, const std::string& default_model,
                                 const std::string& account, Client& connection);

  Engine& engine_;
  const ServerOptions& options_;
  const std::atomic<bool>& shutting_down_;
  UploadMemory upload_memory_;
  std::counting_semaphore<kMaxConcurrentDecodes> decoding_{kMaxConcurrentDecodes};
  std::atomic<std::size_t> in_flight_ = 0;  // requests between submit and their end
};

}  // namespace easel::http
