// The model routes: which models are served, their state, and loading and unloading by operators.
#pragma once

#include <string>

#include "easel/engine.h"
#include "easel/server.h"
#include "http/transport/message.h"

namespace easel::http {

/// Thread-safe. What it is made of must outlive it.
///
/// Ids are percent-encoded, as in the path; a plus may mean a space, as OpenAI's Python clients before 1.0 write it.
/// OpenAI's model names mean the default model, and aliases theirs, as in image requests.
class ModelEndpoints {
 public:
  ModelEndpoints(Engine& engine, const ServerOptions& options) : engine_(engine), options_(options) {}

  /// With the aliases, where ServerOptions::list_aliases says so.
  Response list() const;
  /// GET /v1/loras: the adapters that requests may select.
  Response adapters() const;
  /// GET /api/tags: the models as Ollama lists them.
  Response tags() const;
  /// @throws HttpFailure  404: no such model; 400: a NUL byte in the id
  Response one(const std::string& encoded_id) const;
  /// load() and unload() return at once, with the model's present state: 202 until it is loaded or unloaded, then 200.
  /// @throws HttpFailure  as one(); 503: the server shuts down
  Response load(const std::string& encoded_id);
  Response unload(const std::string& encoded_id);
  /// Removes a model that easel pulled, with its files. Images in progress are finished.
  /// @throws HttpFailure  as one(); 400: it is the only model, or easel did not pull it, or the server has no models
  ///                      folder
  Response remove(const std::string& encoded_id);

 private:
  struct ResolvedModel {
    ModelDescription model;
    std::string id;  ///< as the client wrote it
  };
  ResolvedModel find(const std::string& encoded_id) const;
  Response respond(const ResolvedModel& resolved, ModelState awaited) const;

  Engine& engine_;
  const ServerOptions& options_;
};

}  // namespace easel::http
