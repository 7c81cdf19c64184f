// Finds models by their ids, and asks the engine for their state.
#include "http/openai/model_endpoints.h"

#include <algorithm>

#include "core/text.h"
#include "http/openai/fields/model_choice.h"
#include "http/openai/model_pull.h"
#include "http/openai/openai_models.h"
#include "http/openai/routes.h"
#include "http/wire/fields.h"
#include "http/wire/http_error.h"
#include "http/wire/json_text.h"

namespace easel::http {

Response ModelEndpoints::list() const {
  std::vector<ListedModel> listed;
  const auto models = engine_.models();
  const auto list = [&](const std::string& name, const ModelDescription& model) {
    try {
      listed.push_back({name, model, engine_.status(model.id)});
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kNotFound) throw;  // else it was removed meanwhile
    }
  };
  for (const auto& model : models) list(model.id, model);
  if (options_.list_aliases) {
    for (const auto& [name, id] : options_.aliases) {
      const auto served = [&id](const ModelDescription& model) { return model.id == id; };
      const auto model = std::find_if(models.begin(), models.end(), served);
      if (model != models.end()) list(name, *model);
    }
  }
  return json_response(200, model_list(listed));
}

Response ModelEndpoints::adapters() const {
  auto list = nlohmann::ordered_json::array();
  if (options_.list_adapters) {
    for (const auto& adapter : options_.list_adapters()) {
      list.push_back({{"name", adapter.name},
                      {"alias", adapter.alias},
                      {"family", adapter.family},
                      {"trigger_words", adapter.trigger_words},
                      {"size", adapter.bytes}});
    }
  }
  return json_response(200, json_text({{"object", "list"}, {"data", list}}));
}

Response ModelEndpoints::tags() const {
  auto list = nlohmann::ordered_json::array();
  for (const auto& model : engine_.models()) {
    list.push_back({{"name", model.id}, {"model", model.id}, {"capabilities", {"image"}}});
  }
  return json_response(200, json_text({{"models", list}}));
}

Response ModelEndpoints::one(const std::string& encoded_id) const {
  const auto resolved = find(encoded_id);
  return json_response(200, model_object(resolved.model, engine_.status(resolved.model.id), resolved.id));
}

Response ModelEndpoints::load(const std::string& encoded_id) {
  const auto resolved = find(encoded_id);
  try {
    engine_.load(resolved.model.id);
  } catch (const Error& error) {
    throw HttpFailure(http_error(error));
  }
  return respond(resolved, ModelState::kReady);
}

Response ModelEndpoints::unload(const std::string& encoded_id) {
  const auto resolved = find(encoded_id);
  engine_.unload(resolved.model.id);
  return respond(resolved, ModelState::kUnloaded);
}

Response ModelEndpoints::remove(const std::string& encoded_id) {
  auto& library = model_library(options_);
  const auto resolved = find(encoded_id);
  if (engine_.models().size() < 2) {
    throw field_error("model", "invalid_value",
                      concat(quote(resolved.model.id), " is the only model of this server and cannot be removed."));
  }
  try {
    library.check_removable(resolved.model);
    // First, so that requests that wait for the model end as if it were unknown, instead of with a load that fails.
    engine_.remove(resolved.model.id);
    library.remove(resolved.model);
  } catch (const Error& error) {
    throw HttpFailure(http_error(error));
  }
  return json_response(200, json_text({{"id", resolved.id}, {"object", "model"}, {"deleted", true}}));
}

Response ModelEndpoints::respond(const ResolvedModel& resolved, ModelState awaited) const {
  const auto status = engine_.status(resolved.model.id);
  return json_response(status.state == awaited ? 200 : 202, model_object(resolved.model, status, resolved.id));
}

ModelEndpoints::ResolvedModel ModelEndpoints::find(const std::string& encoded_id) const {
  const auto models = engine_.models();
  const auto served = [&](const std::string& id) {
    return std::find_if(models.begin(), models.end(), [&](const ModelDescription& model) { return model.id == id; });
  };
  const auto id = percent_decode(encoded_id);
  if (id.find('\0') != std::string::npos) {
    throw field_error("model", "invalid_value", "A model id must not contain a NUL byte.");
  }
  auto found = served(id);
  if (found == models.end()) {
    auto with_spaces = encoded_id;
    std::replace(with_spaces.begin(), with_spaces.end(), '+', ' ');
    found = served(percent_decode(with_spaces));
  }
  if (found != models.end()) return {*found, found->id};
  return {resolve_model(models, id, options_), id};
}

}  // namespace easel::http
