// The model routes: which models are served, their state, and loading and unloading by operators.
#pragma once

#include <string>

#include "easel/engine.h"
#include "http/transport/message.h"

namespace easel::http {

/// Thread-safe. The engine must outlive it.
///
/// Ids are percent-encoded, as in the path; a plus may mean a space, as OpenAI's Python clients before 1.0 write it.
/// OpenAI's model names mean the default model, as in image requests.
class ModelEndpoints {
 public:
  explicit ModelEndpoints(Engine& engine) : engine_(engine) {}

  Response list() const;
  /// @throws HttpFailure  404: no such model; 400: a NUL byte in the id
  Response one(const std::string& encoded_id) const;
  /// load() and unload() return at once, with the model's present state: 202 until it is loaded or unloaded, then 200.
  /// @throws HttpFailure  as one(); 503: the server shuts down
  Response load(const std::string& encoded_id);
  Response unload(const std::string& encoded_id);

 private:
  struct ResolvedModel {
    ModelDescription model;
    std::string id;  ///< as the client wrote it
  };
  ResolvedModel find(const std::string& encoded_id) const;
  Response respond(const ResolvedModel& resolved, ModelState awaited) const;

  Engine& engine_;
};

}  // namespace easel::http
