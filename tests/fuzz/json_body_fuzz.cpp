// Fuzzes JSON bodies of image requests: the parser with its limits, and every field of every route.
#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string_view>

#include "fuzz_target.h"
#include "http/openai/fields/request_fields.h"
#include "http/openai/jobs/fingerprint.h"
#include "http/openai/requests/openai_images.h"
#include "http/wire/http_error.h"
#include "http/wire/json_text.h"

namespace {

using namespace easel::http;

easel::ModelDescription any_model() {
  easel::ModelDescription model;
  model.id = "any";
  model.default_scheduler = "ddim";
  model.schedulers = {"ddim", "euler"};
  return model;
}

void check_request(const nlohmann::json& body, ImageTask task) {
  static const std::vector<easel::ModelDescription> models = {any_model()};
  try {
    const auto request = read_image_request(body, models, {}, "", task);
    if (request.num_images < 1 || request.num_images > 10) std::abort();
    const auto& ignored = request.response.ignored;
    if (!std::is_sorted(ignored.begin(), ignored.end())) std::abort();
    // A client that sends it again must be recognized.
    if (request_fingerprint("x", body, {}) != request_fingerprint("x", nlohmann::json::parse(body.dump()), {})) {
      std::abort();
    }
  } catch (const HttpFailure& failure) {
    if (failure.error().status != 400 || failure.error().message.empty()) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  nlohmann::json body;
  try {
    body = parse_json_object(text);
  } catch (const HttpFailure& failure) {
    if (failure.error().status != 400) std::abort();
    return 0;
  }
  if (!body.is_object()) std::abort();
  for (const auto task : {ImageTask::kGenerate, ImageTask::kEdit, ImageTask::kVary, ImageTask::kUpscale}) {
    check_request(body, task);
  }
  return 0;
}

std::vector<std::string> easel::seed_corpus() {
  return {
      R"({"prompt": "a cat", "n": 2, "size": "64x64", "seed": 18446744073709551615, "response_format": "b64_json"})",
      R"({"prompt": "\u00e9\ud83d\ude00", "steps": 5, "guidance_scale": 7.5e0, "scheduler": "euler_karras", "stream": true})",
      R"({"prompt": "a", "sigmas": [10, 1.5, 0], "loras": [{"name": "ink", "weight": -0.5, "text_weight": 1}], "x": [[], {}]})",
      R"({"prompt": "a", "timesteps": [900, 500], "negative_prompt": null, "output_format": "webp", "output_compression": 80})",
      R"({"prompt": "a", "cfg_scale": 3, "sampler_name": "Euler", "aspect_ratio": "16:9", "strict": false, "prompt_syntax": "a1111"})",
      R"({"model": "any", "image": "data:image/png;base64,iVBORw0KGgo=", "strength": 0.5, "mask_blur": 3, "quality": "hd"})",
      "\xef\xbb\xbf{\"a\": [[[[[[[[]]]]]]]], \"b\": 1e308, \"c\": -0.0, \"d\": \"\\u0000\"}"};
}
