// The model routes: what there is, how it stands, and an operator's word about it.
#pragma once

#include <string>

#include "easel/engine.h"
#include "http/transport/message.h"

namespace easel::http {

/// Thread-safe. The engine must outlive it.
///
/// An id comes as the path has it, percent-encoded, maybe with a plus for a space as Python clients before 1.0 write
/// it. Those names of OpenAI's that image requests may use mean the default model here, too.
class ModelEndpoints {
 public:
  explicit ModelEndpoints(Engine& engine) : engine_(engine) {}

  Response list() const;
  /// @throws HttpFailure  404: no such model; 400: a NUL byte in the id
  Response one(const std::string& encoded_id) const;
  /// Both answer at once, with the model as it stands: 202 while there is still something to do, else 200.
  /// @throws HttpFailure  as one(); 503: the engine drains
  Response load(const std::string& encoded_id);
  Response unload(const std::string& encoded_id);

 private:
  struct ResolvedModel {
    ModelDescription model;
    std::string id;  ///< as the client called it
  };
  ResolvedModel find(const std::string& encoded_id) const;
  Response respond(const ResolvedModel& resolved, ModelState awaited) const;

  Engine& engine_;
};

}  // namespace easel::http
