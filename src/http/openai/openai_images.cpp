// Bodies of the image routes, requests and responses.
#include "http/openai/openai_images.h"

#include <cstddef>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/base64.h"
#include "core/text.h"
#include "easel/image.h"
#include "http/wire/fields.h"

namespace easel::http {

GenerationRequest read_image_request(const nlohmann::json& body, const std::vector<ModelDescription>& models,
                                     const ServerOptions& limits, const std::string& default_model, ImageTask task) {
  return read_request_fields(Fields(body),
                             {.models = models, .limits = limits, .default_model = default_model, .task = task});
}

std::string reported_quality(const Fields& fields) {
  const auto quality = fields.string("quality").value_or("auto");
  if (quality == "low" || quality == "medium") return quality;
  return quality == "standard" ? "medium" : "high";
}

std::string image_event_members(const Image& image, std::int64_t created, const std::string& quality) {
  std::string text = R"("b64_json":")";
  text += base64_encode(encode_png(image));
  text += concat(R"(","created_at":)", created, R"(,"size":")", image.width, 'x', image.height, R"(","quality":")",
                 quality, R"(","background":"opaque","output_format":"png")");
  return text;
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
  // Base64 needs no escaping, so that megabytes of it are appended as they are instead of passing through a JSON
  // library.
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
