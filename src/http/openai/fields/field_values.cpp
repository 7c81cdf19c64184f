// Readers of the fields whose values are neither plain numbers nor plain texts.
#include "http/openai/fields/field_values.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <string_view>
#include <utility>

#include "core/text.h"
#include "http/openai/fields/model_choice.h"
#include "http/wire/fields.h"

namespace easel::http {
namespace {

using nlohmann::json;

constexpr std::uint64_t kMaxSeed = std::numeric_limits<std::uint64_t>::max();
constexpr std::size_t kMaxAdapters = 16;
constexpr std::size_t kMaxAdapterNameChars = 255;
constexpr double kMaxAdapterWeight = 100;

// What clients mean by -1, null or no seed at all is the same: any image.
std::uint64_t random_seed() {
  thread_local std::random_device source;
  return source() & 0xFFFFFFFFu;
}

HttpFailure seed_out_of_range(const char* field, bool below) {
  return field_error(field, below ? "integer_below_min_value" : "integer_above_max_value",
                     concat("`", field, "` must be from 0 to ", kMaxSeed, ", or -1 for a random one."));
}

std::uint64_t parse_seed(const char* field, const std::string& text) {
  const std::string_view digits = std::string_view(text).substr(text.starts_with('-') ? 1 : 0);
  const bool all_digits =
      !digits.empty() && std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!all_digits) {
    throw field_error(field, "invalid_value", concat("`", field, "` is ", quote(text), "; expected an integer."));
  }
  if (text == "-1") return random_seed();
  std::uint64_t seed = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), seed);
  const bool is_negative = text.starts_with('-');
  if (error != std::errc() || (is_negative && seed > 0)) throw seed_out_of_range(field, is_negative);
  return seed;
}

// None where the field is absent.
std::optional<std::uint64_t> find_seed(const Fields& fields, const char* field) {
  const auto* value = fields.find(field);
  if (!value) return std::nullopt;
  if (value->is_string()) return parse_seed(field, value->get<std::string>());
  if (value->is_number_float() && std::abs(value->get<double>()) >= 0x1p64) {
    throw seed_out_of_range(field, /*below=*/value->get<double>() < 0);
  }
  if (!value->is_number_integer()) throw wrong_type(field, "an integer", *value);
  return parse_seed(field, value->dump());
}

// OpenAI's variations have no prompt, and an upscaler needs none.
bool needs_prompt(ImageTask task) {
  return task == ImageTask::kGenerate || task == ImageTask::kEdit;
}

// A member that would be passed over may be a misspelt weight.
void check_adapter_members(const json& object, const std::string& name) {
  for (const auto& [member, value] : object.items()) {
    const bool is_known = member == "name" || member == "weight" || member == "text_encoder_weight";
    if (is_known || value.is_null()) continue;
    throw field_error(concat(name, '.', shortened(member)), "unknown_parameter",
                      concat("`", name, "` has the member ", quote(member),
                             "; an adapter has `name`, `weight` and `text_encoder_weight`."));
  }
}

AdapterSelection read_adapter(const json& entry, const std::string& name) {
  const json object = entry.is_string() ? json{{"name", entry}} : entry;
  if (!object.is_object()) throw wrong_type(name, "a string or an object", entry);
  const auto find = [&](const char* member) -> const json* {
    const auto found = object.find(member);
    return found == object.end() || found->is_null() ? nullptr : &*found;
  };
  check_adapter_members(object, name);
  AdapterSelection adapter;
  const auto* written = find("name");
  if (!written) throw field_error(name + ".name", "missing_required_parameter", concat("`", name, "` has no `name`."));
  if (!written->is_string()) throw wrong_type(name + ".name", "a string", *written);
  adapter.name = written->get<std::string>();
  if (adapter.name.empty()) throw field_error(name + ".name", "empty_string", concat("`", name, ".name` is empty."));
  if (count_code_points(adapter.name) > kMaxAdapterNameChars) {
    throw field_error(name + ".name", "string_above_max_length",
                      concat("`", name, ".name` has more than ", kMaxAdapterNameChars, " characters."));
  }
  // Every number is finite here: JSON has no infinities, and numbers that no double holds are refused with the body.
  const auto read_weight = [&](const char* member) -> std::optional<double> {
    const auto* weight = find(member);
    if (!weight) return std::nullopt;
    if (!weight->is_number()) throw wrong_type(concat(name, '.', member), "a number", *weight);
    check_range(concat(name, '.', member), weight->get<double>(), -kMaxAdapterWeight, kMaxAdapterWeight, "decimal");
    return weight->get<double>();
  };
  adapter.weight = read_weight("weight").value_or(adapter.weight);
  adapter.text_encoder_weight = read_weight("text_encoder_weight");
  return adapter;
}

}  // namespace

HttpFailure names_with_different_values(const std::string& first, const std::string& second) {
  return field_error(second, "invalid_value",
                     concat("`", first, "` and `", second, "` contradict each other; send one of them."));
}

void read_nothing(const Fields&, FieldContext&, ImageRequest&) {}

void read_model(const Fields& fields, FieldContext& context, ImageRequest& request) {
  const auto name = fields.string("model").value_or("");
  context.model = &model_for(context.task, context.models, name.empty() ? context.default_model : name, context.limits);
  request.model = context.model->id;
}

void read_prompt(const Fields& fields, FieldContext& context, ImageRequest& request) {
  const bool needed = needs_prompt(context.task);
  if (needed && fields.is_null("prompt")) throw wrong_type("prompt", "a string", json(nullptr));
  auto prompt = fields.text("prompt", context.limits.max_prompt_chars);
  if (needed && !prompt) throw field_error("prompt", "missing_required_parameter", "`prompt` is missing.");
  if (needed && prompt->empty()) throw field_error("prompt", "empty_string", "`prompt` is empty.");
  request.prompt = std::move(prompt).value_or("");
}

void read_seed(const Fields& fields, FieldContext&, ImageRequest& request) {
  const auto seed = find_seed(fields, "seed");
  request.seed = seed ? *seed : random_seed();
}

void read_rng_seed(const Fields& fields, FieldContext&, ImageRequest& request) {
  if (const auto seed = find_seed(fields, "rng_seed")) request.seed = *seed;
}

void read_cfg_scale(const Fields& fields, FieldContext& context, ImageRequest& request) {
  const auto scale = fields.number("cfg_scale", 0, kMaxGuidanceScale);
  if (scale) (context.model->separate_guidance ? request.true_cfg_scale : request.guidance_scale) = scale;
}

void read_guidance_interval(const Fields& fields, FieldContext&, ImageRequest& request) {
  constexpr const char* kName = "guidance_interval";
  constexpr std::size_t kEnds = 2;
  const auto ends = fields.numbers(kName, kEnds, 0, 1);
  if (!ends) return;
  GuidanceInterval interval;
  if (ends->size() == kEnds) interval = {.start = ends->front(), .end = ends->back()};
  if (ends->size() != kEnds || !interval.is_valid()) {
    throw field_error(kName, "invalid_value",
                      concat("`", kName, "` must be two numbers, the first below the second, e.g. [0.2, 0.8]."));
  }
  request.guidance_interval = interval;
}

void read_response_format(const Fields& fields, FieldContext& context, ImageRequest& request) {
  auto& response = request.response;
  if (const auto format = fields.choice("response_format", {"url", "b64_json"})) {
    response.link = *format == "url";
    response.base64 = !response.link;
    return;
  }
  const auto model = fields.string("model").value_or("");
  const bool names_none = model.empty() && context.default_model.empty();
  response.link = names_none || model.starts_with("dall-e");
  response.base64 = true;
}

void read_background(const Fields& fields, FieldContext& context, ImageRequest&) {
  const auto background = fields.choice("background", {"transparent", "opaque", "auto"});
  if (background != "transparent" || context.limits.opaque_instead_of_transparent) return;
  throw field_error("background", "invalid_value",
                    "`background` is \"transparent\", but the images of this server are opaque.");
}

void read_loras(const Fields& fields, FieldContext&, ImageRequest& request) {
  const auto* list = fields.find("loras");
  if (!list || (list->is_array() && list->empty())) return;
  check_array("loras", *list, kMaxAdapters);
  for (const auto& entry : *list) {
    request.loras.push_back(read_adapter(entry, concat("loras[", request.loras.size(), "]")));
  }
}

}  // namespace easel::http
