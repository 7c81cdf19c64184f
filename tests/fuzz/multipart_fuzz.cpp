// Fuzzes forms: the reader of multipart/form-data, and what becomes of the texts. A form that arrives in pieces is read
// as one that arrives at once.
#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

#include "fuzz_target.h"
#include "http/openai/fields/form_fields.h"
#include "http/openai/requests/openai_images.h"
#include "http/transport/multipart.h"
#include "http/transport/protocol_error.h"
#include "http/wire/http_error.h"

namespace {

using namespace easel::http;

constexpr char kBoundary[] = "xYz";

std::optional<std::vector<FormPart>> read_parts(std::string_view bytes, std::size_t step) {
  MultipartReader reader(kBoundary, {.max_text_bytes = 5'000,
                                     .max_file_bytes = 5'000,
                                     .is_file = [](std::string_view name) { return name == "image"; }});
  try {
    for (std::size_t at = 0; at < bytes.size(); at += step) reader.feed(bytes.substr(at, step));
    return reader.finish();
  } catch (const ProtocolError&) {
    return std::nullopt;
  }
}

bool same(const FormPart& a, const FormPart& b) {
  return a.name == b.name && a.content == b.content && a.has_file_name == b.has_file_name;
}

easel::ModelDescription any_model() {
  easel::ModelDescription model;
  model.id = "any";
  model.default_scheduler = "ddim";
  model.schedulers = {"ddim", "euler"};
  return model;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::vector<easel::ModelDescription> models = {any_model()};
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto parts = read_parts(bytes, bytes.size() + 1), pieces = read_parts(bytes, 5);
  if (parts.has_value() != pieces.has_value()) std::abort();
  if (!parts) return 0;
  if (!std::equal(parts->begin(), parts->end(), pieces->begin(), pieces->end(), &same)) std::abort();
  try {
    const auto request = read_image_request(form_to_json(*parts), models, {}, "", ImageTask::kEdit);
    if (request.num_images < 1 || request.prompt.empty()) std::abort();
    if (!std::is_sorted(request.response.ignored.begin(), request.response.ignored.end())) std::abort();
  } catch (const HttpFailure& failure) {
    if (failure.error().status != 400) std::abort();
  }
  return 0;
}

std::vector<std::string> easel::seed_corpus() {
  const auto form = [](std::initializer_list<std::pair<const char*, const char*>> fields) {
    std::string text;
    for (const auto& [name, value] : fields) {
      text += std::string("--xYz\r\nContent-Disposition: form-data; name=\"") + name + "\"\r\n\r\n" + value + "\r\n";
    }
    return text + "--xYz--\r\n";
  };
  return {form({{"prompt", "a cat"}, {"n", "2"}, {"size", "64x64"}, {"seed", "7"}}),
          form({{"prompt", "a\r\ncat"}, {"loras[][name]", "ink"}, {"loras[][weight]", "0.5"}, {"timesteps", "9,5"}}),
          form({{"prompt", "x"}, {"cfg_scale", "3"}, {"sampler_name", "Euler"}, {"aspect_ratio", "16:9"}, {"foo", ""}}),
          "preamble\r\n--xYz\r\nContent-Disposition: form-data; name=image; filename*=UTF-8''a.png\r\nContent-Type: "
          "image/png\r\n\r\n\x89PNG\r\n--xYz--\r\nepilogue"};
}
