// Everything that the body of an image request can say.
#include "http/openai/openai_images.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>

#include "core/base64.h"
#include "core/text.h"
#include "easel/image.h"
#include "http/openai/sampling_fields.h"
#include "http/wire/fields.h"

namespace easel::http {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxSizeDigits = 5;

struct Size {
  int width = 0;
  int height = 0;
};

// Digits without sign, space or leading zero; 0 where it is none.
int parse_edge(std::string_view digits) {
  int edge = 0;
  if (digits.empty() || digits.size() > kMaxSizeDigits || digits.front() == '0') return 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), edge);
  return error == std::errc() && end == digits.data() + digits.size() ? edge : 0;
}

std::optional<Size> read_size(const Fields& fields, const ServerOptions& limits) {
  const auto text = fields.string("size").value_or("auto");
  if (text.empty() || text == "auto") return std::nullopt;
  const auto x = std::min(text.find('x'), text.size());
  const Size size{parse_edge(std::string_view(text).substr(0, x)),
                  parse_edge(std::string_view(text).substr(std::min(x + 1, text.size())))};
  if (size.width <= 0 || size.height <= 0) {
    throw field_error(
        "size", "invalid_value",
        concat("`size` is ", quote(text), "; expected WIDTHxHEIGHT in pixels, such as 512x512, or auto."));
  }
  if (!is_allowed_size(size.width, size.height, limits)) {
    throw field_error("size", "invalid_value", concat("`size` is ", text, "; ", describe_size_limits(limits), "."));
  }
  return size;
}

// OpenAI's variations have no prompt, and an upscaler needs none.
bool needs_prompt(ImageTask task) {
  return task == ImageTask::kGenerate || task == ImageTask::kEdit;
}

std::string read_prompt(const Fields& fields, ImageTask task, const ServerOptions& limits) {
  if (!needs_prompt(task)) return fields.text("prompt", limits.max_prompt_chars).value_or("");
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
  fields.choice("input_fidelity", {"high", "low"});
  if (fields.choice("background", {"transparent", "opaque", "auto"}) == "transparent") {
    throw field_error("background", "invalid_value", "`background` is \"transparent\", but images here are opaque.");
  }
  const auto format = fields.choice("output_format", {"png", "jpeg", "webp", "gif", "svg"});
  if (format && format != "png") {
    throw field_error("output_format", "invalid_value",
                      concat("`output_format` is ", quote(*format), "; this server answers with png only."));
  }
  fields.integer("output_compression", 0, 100);
  if (fields.choice("response_format", {"url", "b64_json"}) == "url") {
    throw field_error("response_format", "invalid_value",
                      "`response_format` is \"url\", but this server keeps no files to link to; ask for \"b64_json\".");
  }
  // A plain JSON answer to a streaming call would look to the SDKs like a stream without events.
  if (fields.boolean("stream").value_or(false)) {
    throw field_error("stream", "unsupported_parameter", "`stream` is true, but this server does not stream images.");
  }
  fields.integer("partial_images", 0, 3);
}

bool is_openai_name(const std::string& name) {
  return name.starts_with("dall-e-") || name.starts_with("gpt-image-") || name == "chatgpt-image-latest";
}

HttpFailure wrong_model(const ModelDescription& model, const char* why) {
  return field_error("model", "invalid_value", concat("The model ", quote(model.id), " ", why));
}

// What the model's description says it cannot do is refused before anything waits in the queue.
void check_task(const ModelDescription& model, ImageTask task) {
  if (task == ImageTask::kUpscale) {
    if (model.upscale_factor == 0)
      throw wrong_model(model, "does not enlarge images; GET /v1/models lists those that do.");
    return;
  }
  if (model.upscale_factor > 0) throw wrong_model(model, "only enlarges images: see POST /v1/images/upscale.");
  const bool supports_text_to_image = !model.needs_image && !model.needs_mask;
  if (task == ImageTask::kGenerate && !supports_text_to_image) {
    throw wrong_model(model, "draws from an image: see POST /v1/images/edits.");
  }
  if (task == ImageTask::kVary && model.needs_mask) {
    throw wrong_model(model, "redraws what a mask marks: see POST /v1/images/edits.");
  }
}

const ModelDescription& model_for(ImageTask task, const std::vector<ModelDescription>& models,
                                  const std::string& name) {
  const auto& model = resolve_model(models, name);
  // Who does not name a model of this server's means whichever enlarges.
  if (task == ImageTask::kUpscale && model.id != name) {
    const auto upscaler = std::find_if(models.begin(), models.end(),
                                       [](const ModelDescription& candidate) { return candidate.upscale_factor > 0; });
    if (upscaler != models.end()) return *upscaler;
    throw HttpFailure({.status = 404,
                       .message = "None of the models here enlarges images; GET /v1/models lists what they do.",
                       .param = "model",
                       .code = "model_not_found"});
  }
  check_task(model, task);
  return model;
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

const ModelDescription& resolve_model(const std::vector<ModelDescription>& models, const std::string& name) {
  const auto found =
      std::find_if(models.begin(), models.end(), [&](const ModelDescription& model) { return model.id == name; });
  if (found != models.end()) return *found;
  if (name.empty() || is_openai_name(name)) return models.front();
  throw HttpFailure(
      {.status = 404,
       .message = concat("There is no model ", quote(name), " here; GET /v1/models lists those there are."),
       .param = "model",
       .code = "model_not_found"});
}

GenerationRequest read_image_request(const json& body, const std::vector<ModelDescription>& models,
                                     const ServerOptions& limits, const std::string& default_model, ImageTask task) {
  const Fields fields(body);
  const auto name = fields.string("model").value_or("");
  const auto& model = model_for(task, models, name.empty() ? default_model : name);

  GenerationRequest request;
  request.model = model.id;
  request.prompt = read_prompt(fields, task, limits);
  request.num_images = fields.integer("n", 1, limits.max_images).value_or(1);
  check_openai_options(fields);
  if (const auto size = read_size(fields, limits)) {
    request.width = size->width;
    request.height = size->height;
  }
  read_sampling(fields, limits, model, /*has_input_image=*/task != ImageTask::kGenerate, request);
  return request;
}

std::string image_response_body(std::vector<GeneratedImage> images, std::int64_t created, std::uint64_t seed) {
  const auto size =
      images.empty() ? std::string() : concat(images.front().image.width, "x", images.front().image.height);
  std::vector<std::string> files;
  std::size_t base64_bytes = 0;
  for (auto& generated : images) {
    files.push_back(encode_png(generated.image));
    base64_bytes += (files.back().size() + 2) / 3 * 4;
    generated.image = {};
  }
  // Base64 needs no escaping, so megabytes of it are appended instead of going through a JSON library.
  std::string text = concat(R"({"created":)", created, R"(,"size":")", size, R"(","seed":)", seed, R"(,"data":[)");
  constexpr std::size_t kJsonBytesPerImage = 64;
  text.reserve(text.size() + base64_bytes + kJsonBytesPerImage * (files.size() + 1));
  for (std::size_t i = 0; i < files.size(); ++i) {
    text += i ? R"(,{"b64_json":")" : R"({"b64_json":")";
    text += base64_encode(std::exchange(files[i], {}));
    text += concat(R"(","seed":)", images[i].seed, R"(,"prompt_cut":)", images[i].prompt_cut ? "true" : "false", "}");
  }
  text += "]}";
  return text;
}

}  // namespace easel::http
