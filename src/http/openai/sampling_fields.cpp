// Each field with its range.
#include "http/openai/sampling_fields.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>

#include "core/normalize_name.h"
#include "core/text.h"

namespace easel::http {
namespace {

using nlohmann::json;

constexpr double kMaxGuidanceScale = 100.0;
constexpr std::int64_t kMaxSeed = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kMaxConditionPixels = 65536;  // of sizes and corners that are only told to the model
constexpr double kMaxAestheticScore = 100.0;
constexpr std::int64_t kMaxNoiseLevel = 999;  // timesteps of training
// Beyond what any noise schedule has: published ones end at timestep 999 and near sigma 160.
constexpr double kMaxTimestep = 1e6;
constexpr double kMaxSigma = 1e6;
constexpr std::size_t kMaxAdapters = 16;
constexpr std::size_t kMaxAdapterNameChars = 255;

// Each client's reason to send "-1", null or nothing is the same: it wants some image.
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

std::uint64_t read_seed(const Fields& fields) {
  const auto* value = fields.find("seed");
  if (!value) return random_seed();
  // JavaScript holds integers to 2^53 only; larger seeds travel as text.
  if (value->is_string()) return parse_seed(value->get<std::string>());
  if (value->is_number_float() && std::abs(value->get<double>()) >= 0x1p63) {
    throw seed_out_of_range(/*below=*/value->get<double>() < 0);
  }
  if (!value->is_number_integer()) throw wrong_type("seed", "an integer", *value);
  return parse_seed(value->dump());
}

// As people write it: "DPM++ 2M Karras" is "dpmpp_2m_karras".
std::optional<std::string> read_scheduler(const Fields& fields, const ModelDescription& model) {
  constexpr std::size_t kMaxChars = 100;
  if (const auto written = fields.text("scheduler", kMaxChars)) {
    const auto name = normalize_name(*written);
    for (const auto& known : {model.schedulers, model.scheduler_aliases}) {
      if (std::find(known.begin(), known.end(), name) != known.end()) return name;
    }
  }
  return fields.choice("scheduler", model.schedulers);
}

// (height, width) or (top, left), as diffusers has them.
std::optional<MicroConditioning::Pixels> read_pixels(const Fields& fields, const char* field, std::int64_t min) {
  constexpr std::size_t kAxes = 2;
  const auto numbers = fields.numbers(field, kAxes, static_cast<double>(min), kMaxConditionPixels);
  if (!numbers) return std::nullopt;
  const auto whole = [](double number) { return number == std::floor(number); };
  if (numbers->size() != kAxes || !std::all_of(numbers->begin(), numbers->end(), whole)) {
    throw field_error(
        field, "invalid_value",
        concat("`", field, "` must be two integers: [height, width] of a size, [top, left] of a corner."));
  }
  return MicroConditioning::Pixels(static_cast<int>((*numbers)[0]), static_cast<int>((*numbers)[1]));
}

void read_micro_conditioning(const Fields& fields, MicroConditioning& conditions) {
  using Pixels = MicroConditioning::Pixels;
  conditions.original_size = read_pixels(fields, "original_size", 1);
  conditions.crops_coords_top_left = read_pixels(fields, "crops_coords_top_left", 0).value_or(Pixels(0, 0));
  conditions.target_size = read_pixels(fields, "target_size", 1);
  conditions.negative_original_size = read_pixels(fields, "negative_original_size", 1);
  conditions.negative_crops_coords_top_left =
      read_pixels(fields, "negative_crops_coords_top_left", 0).value_or(Pixels(0, 0));
  conditions.negative_target_size = read_pixels(fields, "negative_target_size", 1);
  const auto score = [&](const char* field, double& target) {
    target = fields.number(field, 0.0, kMaxAestheticScore).value_or(target);
  };
  score("aesthetic_score", conditions.aesthetic_score);
  score("negative_aesthetic_score", conditions.negative_aesthetic_score);
}

void read_schedule(const Fields& fields, const ServerOptions& limits, GenerationRequest& request) {
  const auto most = static_cast<std::size_t>(limits.max_steps);
  request.timesteps = fields.numbers("timesteps", most, 0.0, kMaxTimestep).value_or(std::vector<double>());
  request.sigmas = fields.numbers("sigmas", most, 0.0, kMaxSigma).value_or(std::vector<double>());
  if (!request.timesteps.empty() && !request.sigmas.empty()) {
    throw field_error("sigmas", "invalid_value", "A request has `timesteps` or `sigmas`, not both.");
  }
}

void read_image_fields(const Fields& fields, bool has_input_image, GenerationRequest& request) {
  request.strength = fields.number("strength", 0.0, 1.0);
  request.image_guidance_scale = fields.number("image_guidance_scale", 0.0, kMaxGuidanceScale);
  request.noise_level = fields.integer("noise_level", 0, kMaxNoiseLevel);
  if (has_input_image) return;
  for (const char* field : {"strength", "image_guidance_scale", "noise_level"}) {
    if (!fields.find(field)) continue;
    throw field_error(field, "unsupported_parameter",
                      concat("`", field, "` needs an image to begin from: see POST /v1/images/edits."));
  }
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
  // JSON knows no infinities, and numbers that no double holds are refused with the body.
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

std::vector<AdapterSelection> read_adapters(const Fields& fields) {
  std::vector<AdapterSelection> adapters;
  const auto* list = fields.find("loras");
  if (!list || (list->is_array() && list->empty())) return adapters;
  for (const auto& entry : check_array("loras", *list, kMaxAdapters)) {
    adapters.push_back(read_adapter(entry, concat("loras[", adapters.size(), "]")));
  }
  return adapters;
}

std::optional<PromptSyntax> read_prompt_syntax(const Fields& fields) {
  const auto syntax = fields.choice("prompt_syntax", {"plain", "a1111"});
  if (!syntax) return std::nullopt;
  return *syntax == "plain" ? PromptSyntax::kPlain : PromptSyntax::kA1111;
}

}  // namespace

void read_sampling(const Fields& fields, const ServerOptions& limits, const ModelDescription& model,
                   bool has_input_image, GenerationRequest& request) {
  request.negative_prompt = fields.text("negative_prompt", limits.max_prompt_chars).value_or("");
  request.seed = read_seed(fields);
  request.guidance_scale = fields.number("guidance_scale", 0.0, kMaxGuidanceScale);
  const auto steps = fields.integer("steps", 1, limits.max_steps);
  request.num_inference_steps = fields.integer("num_inference_steps", 1, limits.max_steps);
  if (!request.num_inference_steps) request.num_inference_steps = steps;
  request.scheduler = read_scheduler(fields, model);
  request.eta = fields.number("eta", 0.0, 1.0).value_or(0.0);
  request.clip_skip = fields.integer("clip_skip", 0, model.max_clip_skip);
  request.guidance_rescale = fields.number("guidance_rescale", 0.0, 1.0).value_or(0.0);
  request.denoising_end = fields.number("denoising_end", 0.0, 1.0);
  read_image_fields(fields, has_input_image, request);
  read_micro_conditioning(fields, request.micro_conditioning);
  read_schedule(fields, limits, request);
  request.prompt_syntax = read_prompt_syntax(fields);
  request.loras = read_adapters(fields);
}

}  // namespace easel::http
