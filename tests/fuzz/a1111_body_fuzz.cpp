// Fuzzes the bodies of AUTOMATIC1111's API, and the parameters that its programs write into image files.
#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string_view>

#include "easel/image_metadata.h"
#include "fuzz_target.h"
#include "http/openai/requests/openai_images.h"
#include "http/sdapi/translation.h"
#include "http/wire/http_error.h"
#include "http/wire/json_text.h"

namespace {

using namespace easel::http;

std::vector<easel::ModelDescription> any_models() {
  easel::ModelDescription model;
  model.id = "any";
  model.default_scheduler = "ddim";
  model.schedulers = {"ddim", "euler", "euler_ancestral", "dpmsolver_multistep"};
  return {model};
}

void check_status(const HttpFailure& failure) {
  const int status = failure.error().status;
  if (status != 400 && status != 404 && status != 422) std::abort();
}

void translate_and_read(const nlohmann::json& body, bool from_image) {
  static const auto models = any_models();
  static const easel::ServerOptions options;
  static const std::string chosen;
  try {
    const auto translated =
        sdapi::translate(body, from_image, {.models = models, .options = options, .chosen_model = chosen});
    if (!std::is_sorted(translated.ignored.begin(), translated.ignored.end())) std::abort();
    read_image_request(translated.upload.fields, models, options, "", translated.task);
  } catch (const HttpFailure& failure) {
    check_status(failure);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  easel::parse_parameters(text);
  try {
    const auto body = parse_json_object(text);
    for (const bool from_image : {false, true}) translate_and_read(body, from_image);
  } catch (const HttpFailure& failure) {
    check_status(failure);
  }
  return 0;
}

std::vector<std::string> easel::seed_corpus() {
  const std::string png =
      "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
  return {
      R"({"prompt": "a cat <lora:ink:0.5>", "steps": 5.0, "cfg_scale": 7, "sampler_name": "Euler a", "width": 64, "seed": -1})",
      R"({"prompt": "a", "batch_size": 2, "n_iter": 2, "scheduler": "karras", "override_settings": {"CLIP_stop_at_last_layers": 2}})",
      R"({"prompt": "a", "enable_hr": true, "hr_scale": 2, "script_args": [], "alwayson_scripts": {"x": {"args": [1]}}})",
      R"({"prompt": "a", "init_images": ["data:image/png;base64,)" + png + R"("], "mask": ")" + png +
          R"(", "inpainting_mask_invert": 1, "resize_mode": 1, "denoising_strength": 0.4})",
      "a cat\nNegative prompt: dog\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 64x64, Hashes: {\"vae\": "
      "\"x\"}"};
}
