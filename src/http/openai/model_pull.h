// POST /v1/models/pull: models that operators bring while the server runs.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "easel/server.h"
#include "http/openai/request_record.h"
#include "http/transport/client.h"
#include "http/transport/message.h"

namespace easel::http {

/// Thread-safe. What it is made of must outlive it.
class ModelPulls {
 public:
  ModelPulls(const ServerOptions& options, const std::atomic<bool>& shutting_down)
      : options_(options), shutting_down_(shutting_down) {}

  /// Fetches the model that the body names: {"model": "sd15", "stream": true}. The response is a stream of the events
  /// `model_pull.progress` and, at the end, `model_pull.completed` or `error`; with "stream": false it is one JSON
  /// object at the end. What fails before the first byte has a status of its own. A client that leaves stops the
  /// download, and the next request for the same model continues it. One model is fetched at a time.
  ///
  /// @return none when the client has left
  /// @throws HttpFailure  400: a body that is not as above, an unknown name, no models folder; 409: another model is
  ///                      being fetched; as ModelLibrary::pull()
  std::optional<Response> pull(Client& client, RequestRecord& record);

 private:
  class Task;

  const ServerOptions& options_;
  const std::atomic<bool>& shutting_down_;
  std::atomic<bool> busy_ = false;
};

/// The models folder.
/// @throws HttpFailure(400)  the server has none
ModelLibrary& model_library(const ServerOptions& options);

}  // namespace easel::http
