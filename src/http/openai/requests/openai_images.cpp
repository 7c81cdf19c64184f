// The one way from the body of an image request to what the engine takes.
#include "http/openai/requests/openai_images.h"

#include <nlohmann/json.hpp>

#include "http/openai/fields/foreign_fields.h"
#include "http/wire/fields.h"

namespace easel::http {

ImageRequest read_image_request(const nlohmann::json& body, const std::vector<ModelDescription>& models,
                                const ServerOptions& limits, const std::string& default_model, ImageTask task) {
  auto known = body;
  const auto unknown = sort_out_foreign_fields(known, task);
  FieldContext context{.models = models, .limits = limits, .default_model = default_model, .task = task};
  const Fields fields(known);
  auto request = read_request_fields(fields, context);
  context.strict = is_strict(fields, limits);
  for (const auto& name : unknown) set_aside(context, name, "is not a field of this server", request);
  return request;
}

}  // namespace easel::http
