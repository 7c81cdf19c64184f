// Models as JSON.
#include "http/openai_models.h"

#include "core/text.h"
#include "http/json_text.h"

namespace easel::http {
namespace {

using nlohmann::ordered_json;

ordered_json object_of(const ModelDescription& model, const std::string& id) {
  ordered_json object = {
      {"id", id}, {"object", "model"}, {"created", model.created}, {"owned_by", "easel"}, {"family", model.family}};
  if (!model.licence.empty()) object["licence"] = model.licence;
  object["native_size"] = concat(model.native_width, "x", model.native_height);
  object["default_steps"] = model.default_steps;
  object["default_guidance_scale"] = model.default_guidance_scale;
  object["default_scheduler"] = model.default_scheduler;
  object["schedulers"] = model.schedulers;
  return object;
}

}  // namespace

std::string model_list(const std::vector<ModelDescription>& models) {
  auto list = ordered_json::array();
  for (const auto& model : models) list.push_back(object_of(model, model.id));
  return json_text({{"object", "list"}, {"data", list}});
}

std::string model_object(const ModelDescription& model, const std::string& id) {
  return json_text(object_of(model, id));
}

}  // namespace easel::http
