// The second pass that a request asks for.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "core/text.h"
#include "easel/hires.h"
#include "http/openai/fields/field_values.h"
#include "http/wire/fields.h"

namespace easel::http {
namespace {

using nlohmann::json;

constexpr double kMaxScale = 8;
constexpr double kDefaultScale = 2;
constexpr std::int64_t kMaxHiresEdge = 99999;
constexpr std::size_t kMaxUpscalerChars = 255;
constexpr std::string_view kHiresMembers[] = {"scale", "width", "height", "steps", "strength", "upscaler"};

// A member that would be passed over may be a misspelt one.
void check_members(const json& object) {
  for (const auto& [name, value] : object.items()) {
    const bool is_known =
        std::find(std::begin(kHiresMembers), std::end(kHiresMembers), name) != std::end(kHiresMembers);
    if (is_known || value.is_null()) continue;
    throw field_error(concat("hires.", shortened(name)), "unknown_parameter",
                      concat("`hires` has the member ", quote(name), "; it has `scale`, or `width` and `height`, and ",
                             "`steps`, `strength` and `upscaler`."));
  }
}

// The members under the names that errors have.
json with_full_names(const json& object) {
  auto renamed = json::object();
  for (const auto& [name, value] : object.items()) renamed["hires." + name] = value;
  return renamed;
}

std::pair<std::int64_t, std::int64_t> larger_size(const Fields& members, const FieldContext& context,
                                                  const ImageRequest& request) {
  const auto width = members.integer("hires.width", 1, kMaxHiresEdge);
  const auto height = members.integer("hires.height", 1, kMaxHiresEdge);
  const auto scale = members.number("hires.scale", 1, kMaxScale);
  const char* const field = width ? "hires.width" : "hires.scale";
  if (width.has_value() != height.has_value()) {
    throw field_error("hires", "invalid_value", "`hires` must have `width` and `height`, or neither of them.");
  }
  if (width && scale) throw names_with_different_values("hires.scale", "hires.width");
  const auto& model = *context.model;
  const auto times = [&](int edge) { return static_cast<std::int64_t>(edge * scale.value_or(kDefaultScale)); };
  const std::pair size(width.value_or(times(request.width.value_or(model.native_width))),
                       height.value_or(times(request.height.value_or(model.native_height))));
  if (is_allowed_size(size.first, size.second, context.limits)) return size;
  throw field_error(field, "invalid_value",
                    concat("`", field, "` makes the size ", size.first, "x", size.second, "; ",
                           describe_size_limits(context.limits), "."));
}

// What the model makes of the first pass, before it is resized, must be an image that this server would make.
void check_enlarged(const ModelDescription& upscaler, const FieldContext& context, const ImageRequest& request) {
  const auto& model = *context.model;
  const auto width = std::int64_t{request.width.value_or(model.native_width)} * upscaler.upscale_factor;
  const auto height = std::int64_t{request.height.value_or(model.native_height)} * upscaler.upscale_factor;
  if (is_allowed_size(width, height, context.limits)) return;
  throw field_error("hires.upscaler", "invalid_value",
                    concat("The model ", quote(upscaler.id), " would make an image of ", width, "x", height,
                           " pixels; ", describe_size_limits(context.limits), "."));
}

// One of the names, or a model that upscales.
void choose_upscaler(const std::string& name, const FieldContext& context, const ImageRequest& request,
                     HiresPass& hires) {
  hires.set_upscaler(name);
  if (hires.upscaler_model.empty()) return;
  for (const auto& [alias, id] : context.limits.aliases) {
    if (alias == name) hires.upscaler_model = id;
  }
  const auto serves = [&](const ModelDescription& model) {
    return model.id == hires.upscaler_model && model.upscale_factor > 0;
  };
  const auto found = std::find_if(context.models.begin(), context.models.end(), serves);
  if (found != context.models.end()) return check_enlarged(*found, context, request);
  std::string names;
  for (const auto& row : kHiresUpscalers) names += concat(names.empty() ? "" : ", ", row.name);
  throw field_error("hires.upscaler", "invalid_value",
                    concat("`hires.upscaler` is ", quote(name), "; expected one of: ", names,
                           ", or the id of a model that upscales."));
}

}  // namespace

void read_hires(const Fields& fields, FieldContext& context, ImageRequest& request) {
  const auto* value = fields.find("hires");
  if (!value) return;
  if (!value->is_object()) throw wrong_type("hires", "an object", *value);
  check_members(*value);
  const auto renamed = with_full_names(*value);
  const Fields members(renamed);
  HiresPass hires;
  hires.num_inference_steps = members.integer("hires.steps", 1, context.limits.max_steps);
  hires.strength = members.number("hires.strength", 0, 1).value_or(hires.strength);
  const auto upscaler = members.text("hires.upscaler", kMaxUpscalerChars);
  if (upscaler && !upscaler->empty()) choose_upscaler(*upscaler, context, request, hires);
  if (context.task != ImageTask::kGenerate) {
    set_aside(context, "hires", "has a use on generations only", request);
    return;
  }
  const auto [width, height] = larger_size(members, context, request);
  hires.width = static_cast<int>(width);
  hires.height = static_cast<int>(height);
  request.hires = std::move(hires);
}

}  // namespace easel::http
