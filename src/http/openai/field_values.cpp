// Readers of the fields whose values are neither plain numbers nor plain texts.
#include "http/openai/field_values.h"

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

#include "core/normalize_name.h"
#include "core/text.h"
#include "http/openai/model_choice.h"
#include "http/wire/fields.h"

namespace easel::http {
namespace {

using nlohmann::json;

constexpr std::int64_t kMaxSeed = std::numeric_limits<std::int64_t>::max();
constexpr std::size_t kMaxSchedulerNameChars = 100;
constexpr std::size_t kMaxAdapters = 16;
constexpr std::size_t kMaxAdapterNameChars = 255;

// What clients mean by -1, null or no seed at all is the same: any image.
std::uint64_t random_seed() {
  thread_local std::random_device source;
  return source() & 0xFFFFFFFFu;
}

HttpFailure seed_out_of_range(bool below) {
  return field_error("seed", below ? "integer_below_min_value" : "integer_above_max_value",
                     concat("`seed` must be from 0 to ", kMaxSeed, ", or -1 for a random one."));
}

std::uint64_t parse_seed(const std::string& text) {
  const std::string_view digits = std::string_view(text).substr(text.starts_with('-') ? 1 : 0);
  const bool all_digits =
      !digits.empty() && std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!all_digits) {
    throw field_error("seed", "invalid_value", concat("`seed` is ", quote(text), "; expected an integer."));
  }
  std::int64_t seed = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seed);
  if (error != std::errc()) throw seed_out_of_range(/*below=*/text.front() == '-');
  if (seed == -1) return random_seed();
  if (seed < 0) throw seed_out_of_range(/*below=*/true);
  return static_cast<std::uint64_t>(seed);
}

std::uint64_t seed_value(const Fields& fields) {
  const auto* value = fields.find("seed");
  if (!value) return random_seed();
  if (value->is_string()) return parse_seed(value->get<std::string>());
  if (value->is_number_float() && std::abs(value->get<double>()) >= 0x1p63) {
    throw seed_out_of_range(/*below=*/value->get<double>() < 0);
  }
  if (!value->is_number_integer()) throw wrong_type("seed", "an integer", *value);
  return parse_seed(value->dump());
}

// OpenAI's variations have no prompt, and an upscaler needs none.
bool needs_prompt(ImageTask task) {
  return task == ImageTask::kGenerate || task == ImageTask::kEdit;
}

AdapterSelection read_adapter(const json& entry, const std::string& name) {
  const json object = entry.is_string() ? json{{"name", entry}} : entry;
  if (!object.is_object()) throw wrong_type(name, "a string or an object", entry);
  const auto find = [&](const char* member) -> const json* {
    const auto found = object.find(member);
    return found == object.end() || found->is_null() ? nullptr : &*found;
  };
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
    return weight->get<double>();
  };
  adapter.weight = read_weight("weight").value_or(adapter.weight);
  adapter.text_encoder_weight = read_weight("text_encoder_weight");
  return adapter;
}

}  // namespace

bool is_allowed_size(std::int64_t width, std::int64_t height, const ServerOptions& limits) {
  const auto [shorter, longer] = std::minmax(width, height);
  return shorter >= limits.min_edge && longer <= limits.max_edge && width * height <= limits.max_pixels;
}

std::string describe_size_limits(const ServerOptions& limits) {
  return concat("an edge must be from ", limits.min_edge, " to ", limits.max_edge, " pixels, and the image at most ",
                limits.max_pixels, " pixels");
}

void read_model(const Fields& fields, FieldContext& context, GenerationRequest& request) {
  const auto name = fields.string("model").value_or("");
  context.model = &model_for(context.task, context.models, name.empty() ? context.default_model : name);
  request.model = context.model->id;
}

void read_prompt(const Fields& fields, FieldContext& context, GenerationRequest& request) {
  const bool needed = needs_prompt(context.task);
  if (needed && fields.is_null("prompt")) throw wrong_type("prompt", "a string", json(nullptr));
  auto prompt = fields.text("prompt", context.limits.max_prompt_chars);
  if (needed && !prompt) throw field_error("prompt", "missing_required_parameter", "`prompt` is missing.");
  if (needed && prompt->empty()) throw field_error("prompt", "empty_string", "`prompt` is empty.");
  request.prompt = std::move(prompt).value_or("");
}

void read_size(const Fields& fields, FieldContext& context, GenerationRequest& request) {
  const auto text = fields.string("size").value_or("auto");
  if (text.empty() || text == "auto") return;
  const auto size = parse_size(text);
  if (!size) {
    throw field_error(
        "size", "invalid_value",
        concat("`size` is ", quote(text), "; expected WIDTHxHEIGHT in pixels, such as 512x512, or auto."));
  }
  const auto [width, height] = *size;
  if (!is_allowed_size(width, height, context.limits)) {
    throw field_error("size", "invalid_value",
                      concat("`size` is ", text, "; ", describe_size_limits(context.limits), "."));
  }
  request.width = width;
  request.height = height;
}

void read_seed(const Fields& fields, FieldContext&, GenerationRequest& request) {
  request.seed = seed_value(fields);
}

void read_scheduler(const Fields& fields, FieldContext& context, GenerationRequest& request) {
  if (const auto written = fields.text("scheduler", kMaxSchedulerNameChars)) {
    const auto name = normalize_name(*written);
    for (const auto* known : {&context.model->schedulers, &context.model->scheduler_aliases}) {
      if (std::find(known->begin(), known->end(), name) == known->end()) continue;
      request.scheduler = name;
      return;
    }
  }
  request.scheduler = fields.choice("scheduler", context.model->schedulers);
}

void read_loras(const Fields& fields, FieldContext&, GenerationRequest& request) {
  const auto* list = fields.find("loras");
  if (!list || (list->is_array() && list->empty())) return;
  for (const auto& entry : check_array("loras", *list, kMaxAdapters)) {
    request.loras.push_back(read_adapter(entry, concat("loras[", request.loras.size(), "]")));
  }
}

}  // namespace easel::http
