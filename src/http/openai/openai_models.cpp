// Models as JSON.
#include "http/openai/openai_models.h"

#include <chrono>

#include "core/text.h"
#include "http/openai/responses/public_text.h"
#include "http/wire/json_text.h"

namespace easel::http {
namespace {

using nlohmann::ordered_json;

const char* name_of(ModelState state) {
  switch (state) {
    case ModelState::kUnloaded:
      return "unloaded";
    case ModelState::kLoading:
      return "loading";
    case ModelState::kReady:
      return "ready";
    case ModelState::kFailed:
      return "failed";
  }
  return "unloaded";
}

ordered_json devices_of(const ModelDescription& model, const ModelStatus& status) {
  auto devices = ordered_json::array();
  for (const auto& there : status.devices) {
    ordered_json object = {
        {"device", there.device}, {"state", name_of(there.state)}, {"memory_bytes", there.memory_bytes}};
    if (there.state == ModelState::kLoading) object["loading_progress"] = there.loading_progress;
    if (there.state == ModelState::kFailed) object["failure"] = without_folder(there.failure, model.folder);
    devices.push_back(std::move(object));
  }
  return devices;
}

void add_status(const ModelDescription& model, const ModelStatus& status, ordered_json& object) {
  object["state"] = name_of(status.state);
  if (status.state == ModelState::kLoading) object["loading_progress"] = status.loading_progress;
  if (status.state == ModelState::kFailed) object["failure"] = without_folder(status.failure, model.folder);
  object["memory_bytes"] = status.memory_bytes;
  object["memory_needed_bytes"] = model.memory_bytes;
  object["pinned"] = status.pinned;
  object["devices"] = devices_of(model, status);
  if (status.last_used) {
    object["last_used"] =
        std::chrono::duration_cast<std::chrono::seconds>(status.last_used->time_since_epoch()).count();
  }
}

void add_memory(const ModelDescription& model, ordered_json& object) {
  object["parameters"] = model.parameters;
  auto& weights = object["weights"] = ordered_json::array();
  for (const auto& component : model.components) {
    weights.push_back({{"component", component.name},
                       {"parameters", component.parameters},
                       {"stored_bytes", component.stored_bytes},
                       {"memory_bytes", component.memory_bytes}});
  }
  auto& activations = object["activations"] = ordered_json::array();
  for (const auto& at_size : model.activations) {
    ordered_json steps = ordered_json::object();
    for (const auto& [rows, bytes] : at_size.step_bytes) steps[std::to_string(rows)] = bytes;
    activations.push_back({{"size", concat(at_size.width, "x", at_size.height)},
                           {"step_bytes", steps},
                           {"decode_bytes", at_size.decode_bytes}});
  }
}

ordered_json model_json(const ModelDescription& model, const ModelStatus& status, const std::string& id) {
  ordered_json object = {{"id", id},
                         {"object", "model"},
                         {"created", model.created},
                         {"owned_by", "easel"},
                         {"labels", {"image"}},
                         {"family", model.family}};
  if (!model.licence.empty()) object["licence"] = model.licence;
  if (!model.dtype.empty()) object["dtype"] = model.dtype;
  object["modes"] = modes_of(model);
  object["native_size"] = concat(model.native_width, "x", model.native_height);
  if (model.upscale_factor > 0) object["upscale_factor"] = model.upscale_factor;
  object["default_steps"] = model.default_steps;
  object["default_guidance_scale"] = model.default_guidance_scale;
  object["default_scheduler"] = model.default_scheduler;
  object["schedulers"] = model.schedulers;
  add_memory(model, object);
  add_status(model, status, object);
  return object;
}

}  // namespace

std::vector<std::string> modes_of(const ModelDescription& model) {
  if (model.upscale_factor > 0) return {"upscaling"};
  if (model.needs_mask) return {"inpainting"};
  if (model.needs_image) return {"image-to-image"};
  if (model.max_input_images == 0) return {"text-to-image"};
  return {"text-to-image", "image-to-image", "inpainting"};
}

std::string model_list(const std::vector<ListedModel>& models) {
  auto list = ordered_json::array();
  for (const auto& [id, model, status] : models) list.push_back(model_json(model, status, id));
  return json_text({{"object", "list"}, {"data", list}});
}

std::string model_object(const ModelDescription& model, const ModelStatus& status, const std::string& id) {
  return json_text(model_json(model, status, id));
}

}  // namespace easel::http
