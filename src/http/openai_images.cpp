// Everything that a body of POST /v1/images/generations can say.
#include "http/openai_images.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <string_view>
#include <utility>

#include "core/plain_name.h"
#include "core/text.h"
#include "easel/image.h"
#include "http/fields.h"

namespace easel::http {
namespace {

using nlohmann::json;

constexpr double kMaxGuidanceScale = 100.0;
constexpr std::int64_t kMaxSeed = std::numeric_limits<std::int64_t>::max();
constexpr std::size_t kMaxSizeDigits = 5;

// Each client's reason to send "-1", null or nothing is the same: it wants some picture.
std::uint64_t drawn_seed() {
  thread_local std::random_device source;
  return source() & 0xFFFFFFFFu;
}

HttpFailure seed_out_of_range(bool below) {
  return field_error("seed", below ? "integer_below_min_value" : "integer_above_max_value",
                     concat("`seed` must be from 0 to ", kMaxSeed, ", or -1 for a random one."));
}

std::uint64_t seed_of_digits(const std::string& text) {
  const std::string_view digits = std::string_view(text).substr(text.starts_with('-') ? 1 : 0);
  const bool all_digits =
      !digits.empty() && std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!all_digits) {
    throw field_error("seed", "invalid_value", concat("`seed` is ", shown(text), "; expected an integer."));
  }
  std::int64_t seed = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seed);
  if (error != std::errc()) throw seed_out_of_range(/*below=*/text.front() == '-');
  if (seed == -1) return drawn_seed();
  if (seed < 0) throw seed_out_of_range(/*below=*/true);
  return static_cast<std::uint64_t>(seed);
}

std::uint64_t read_seed(const Fields& fields) {
  const auto* value = fields.find("seed");
  if (!value) return drawn_seed();
  // JavaScript holds integers to 2^53 only; larger seeds travel as text.
  if (value->is_string()) return seed_of_digits(value->get<std::string>());
  if (value->is_number_float() && std::abs(value->get<double>()) >= 0x1p63) {
    throw seed_out_of_range(/*below=*/value->get<double>() < 0);
  }
  if (!value->is_number_integer()) throw wrong_type("seed", "an integer", *value);
  return seed_of_digits(value->dump());
}

struct Size {
  int width = 0;
  int height = 0;
};

// Digits without sign, space or leading zero; 0 where it is none.
int edge_of_digits(std::string_view digits) {
  int edge = 0;
  if (digits.empty() || digits.size() > kMaxSizeDigits || digits.front() == '0') return 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), edge);
  return error == std::errc() && end == digits.data() + digits.size() ? edge : 0;
}

std::optional<Size> read_size(const Fields& fields, const ServerOptions& limits) {
  const auto text = fields.string("size").value_or("auto");
  if (text.empty() || text == "auto") return std::nullopt;
  const auto x = std::min(text.find('x'), text.size());
  const Size size{edge_of_digits(std::string_view(text).substr(0, x)),
                  edge_of_digits(std::string_view(text).substr(std::min(x + 1, text.size())))};
  if (size.width <= 0 || size.height <= 0) {
    throw field_error(
        "size", "invalid_value",
        concat("`size` is ", shown(text), "; expected WIDTHxHEIGHT in pixels, such as 512x512, or auto."));
  }
  const auto [shorter, longer] = std::minmax(size.width, size.height);
  const auto pixels = static_cast<std::int64_t>(size.width) * size.height;
  if (shorter < limits.min_edge || longer > limits.max_edge || pixels > limits.max_pixels) {
    throw field_error("size", "invalid_value",
                      concat("`size` is ", text, "; an edge must be from ", limits.min_edge, " to ", limits.max_edge,
                             " pixels, and the picture at most ", limits.max_pixels, " pixels."));
  }
  return size;
}

std::string read_prompt(const Fields& fields, const ServerOptions& limits) {
  if (fields.is_null("prompt")) throw wrong_type("prompt", "a string", json(nullptr));
  auto prompt = fields.text("prompt", limits.max_prompt_chars);
  if (!prompt) throw field_error("prompt", "missing_required_parameter", "`prompt` is missing.");
  if (prompt->empty()) throw field_error("prompt", "empty_string", "`prompt` is empty.");
  return std::move(*prompt);
}

// Fields of OpenAI's that a diffusion model has no use for. A value outside OpenAI's own sets is a client's mistake and
// said so; a legal one that would need another kind of answer is refused; the rest is accepted and changes nothing.
void check_openai_options(const Fields& fields) {
  fields.choice("quality", {"standard", "hd", "low", "medium", "high", "xhigh", "max", "auto"});
  fields.choice("style", {"vivid", "natural"});
  fields.choice("moderation", {"low", "auto"});
  if (fields.choice("background", {"transparent", "opaque", "auto"}) == "transparent") {
    throw field_error("background", "invalid_value", "`background` is \"transparent\", but pictures here are opaque.");
  }
  const auto format = fields.choice("output_format", {"png", "jpeg", "webp", "gif", "svg"});
  if (format && format != "png") {
    throw field_error("output_format", "invalid_value",
                      concat("`output_format` is ", shown(*format), "; this server answers with png only."));
  }
  fields.integer("output_compression", 0, 100);
  if (fields.choice("response_format", {"url", "b64_json"}) == "url") {
    throw field_error("response_format", "invalid_value",
                      "`response_format` is \"url\", but this server keeps no files to link to; ask for \"b64_json\".");
  }
  // A plain JSON answer to a streaming call would look to the SDKs like a stream without events.
  if (fields.boolean("stream").value_or(false)) {
    throw field_error("stream", "unsupported_parameter", "`stream` is true, but this server does not stream pictures.");
  }
  fields.integer("partial_images", 0, 3);
}

// As people write it: "DPM++ 2M Karras" is "dpmpp_2m_karras".
std::optional<std::string> read_scheduler(const Fields& fields, const ModelDescription& model) {
  constexpr std::size_t kMaxChars = 100;
  if (const auto written = fields.text("scheduler", kMaxChars)) {
    const auto name = plain_name(*written);
    for (const auto& known : {model.schedulers, model.scheduler_aliases}) {
      if (std::find(known.begin(), known.end(), name) != known.end()) return name;
    }
  }
  return fields.choice("scheduler", model.schedulers);
}

void read_sampling(const Fields& fields, const ServerOptions& limits, const ModelDescription& model,
                   GenerationRequest& request) {
  request.negative_prompt = fields.text("negative_prompt", limits.max_prompt_chars).value_or("");
  request.seed = read_seed(fields);
  request.guidance_scale = fields.number("guidance_scale", 0.0, kMaxGuidanceScale);
  const auto steps = fields.integer("steps", 1, limits.max_steps);
  request.num_inference_steps = fields.integer("num_inference_steps", 1, limits.max_steps);
  if (!request.num_inference_steps) request.num_inference_steps = steps;
  request.scheduler = read_scheduler(fields, model);
  request.eta = fields.number("eta", 0.0, 1.0).value_or(0.0);
  request.clip_skip = fields.integer("clip_skip", 0, model.max_clip_skip);
}

bool is_openai_name(const std::string& name) {
  return name.starts_with("dall-e-") || name.starts_with("gpt-image-") || name == "chatgpt-image-latest";
}

}  // namespace

const ModelDescription& resolve_model(const std::vector<ModelDescription>& models, const std::string& name) {
  const auto found =
      std::find_if(models.begin(), models.end(), [&](const ModelDescription& model) { return model.id == name; });
  if (found != models.end()) return *found;
  if (name.empty() || is_openai_name(name)) return models.front();
  throw HttpFailure(
      {.status = 404,
       .message = concat("There is no model ", shown(name), " here; GET /v1/models lists those there are."),
       .param = "model",
       .code = "model_not_found"});
}

GenerationRequest read_image_request(const json& body, const std::vector<ModelDescription>& models,
                                     const ServerOptions& limits, const std::string& default_model) {
  const Fields fields(body);
  const auto name = fields.string("model").value_or("");
  const auto& model = resolve_model(models, name.empty() ? default_model : name);

  GenerationRequest request;
  request.model = model.id;
  request.prompt = read_prompt(fields, limits);
  request.num_images = fields.integer("n", 1, limits.max_images).value_or(1);
  check_openai_options(fields);
  if (const auto size = read_size(fields, limits)) {
    request.width = size->width;
    request.height = size->height;
  }
  read_sampling(fields, limits, model, request);
  return request;
}

std::string image_answer(std::vector<GeneratedImage> pictures, std::int64_t created, std::uint64_t seed) {
  const auto size =
      pictures.empty() ? std::string() : concat(pictures.front().image.width, "x", pictures.front().image.height);
  std::vector<std::string> files;
  std::size_t base64_bytes = 0;
  for (auto& picture : pictures) {
    files.push_back(encode_png(picture.image));
    base64_bytes += (files.back().size() + 2) / 3 * 4;
    picture.image = {};
  }
  // Base64 needs no escaping, so megabytes of it are appended instead of going through a JSON library.
  std::string text = concat(R"({"created":)", created, R"(,"size":")", size, R"(","seed":)", seed, R"(,"data":[)");
  constexpr std::size_t kBytesAroundPicture = 64;
  text.reserve(text.size() + base64_bytes + kBytesAroundPicture * (files.size() + 1));
  for (std::size_t i = 0; i < files.size(); ++i) {
    text += i ? R"(,{"b64_json":")" : R"({"b64_json":")";
    text += base64_encode(std::exchange(files[i], {}));
    text += concat(R"(","seed":)", pictures[i].seed, "}");
  }
  text += "]}";
  return text;
}

}  // namespace easel::http
