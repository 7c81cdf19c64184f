#include "http/sdapi/answers.h"

#include <cmath>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "core/base64.h"
#include "core/text.h"
#include "easel/hires.h"
#include "easel/image.h"
#include "easel/image_metadata.h"
#include "http/sdapi/spellings.h"
#include "http/wire/json_text.h"
#include "provenance/file_hashes.h"  // IWYU pragma: keep
#include "provenance/image_record.h"

namespace easel::http::sdapi {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

struct ImageFacts {
  const Translation& translation;
  std::int64_t steps = 0;
  double guidance_scale = 0;
  std::string size;
  std::string model;
  std::string model_hash;  ///< empty: not known
  std::optional<HiresPass> hires;
};

// As A1111 writes it: of the first pass, where there are two.
std::string first_size(const GenerationRequest& request, const ImageResult& result) {
  const bool two = request.hires && request.width && request.height;
  return two ? concat(*request.width, 'x', *request.height) : concat(result.width, 'x', result.height);
}

std::string infotext(const ImageFacts& facts, std::uint64_t seed) {
  ParametersText text{.prompt = facts.translation.prompt,
                      .negative_prompt = facts.translation.negative_prompt,
                      .settings = {{"Steps", std::to_string(facts.steps)},
                                   {"Sampler", facts.translation.sampler},
                                   {"Schedule type", facts.translation.spacing},
                                   {"CFG scale", concat(facts.guidance_scale)},
                                   {"Seed", std::to_string(seed)},
                                   {"Size", facts.size}}};
  if (!facts.model_hash.empty()) text.settings.emplace_back("Model hash", facts.model_hash);
  text.settings.emplace_back("Model", facts.model);
  if (facts.translation.clip_skip > 1) {
    text.settings.emplace_back("Clip skip", std::to_string(facts.translation.clip_skip));
  }
  if (facts.hires) {
    text.settings.emplace_back("Denoising strength", concat(facts.hires->strength));
    text.settings.emplace_back("Hires resize", concat(facts.hires->width, 'x', facts.hires->height));
    if (facts.hires->num_inference_steps)
      text.settings.emplace_back("Hires steps", std::to_string(*facts.hires->num_inference_steps));
    text.settings.emplace_back("Hires upscaler", facts.hires->upscaler_name());
  }
  return write_parameters(text);
}

ordered_json info_json(const ImageFacts& facts, const ImageResult& result) {
  const auto& translation = facts.translation;
  ordered_json info = {{"prompt", translation.prompt},
                       {"negative_prompt", translation.negative_prompt},
                       {"seed", result.seed},
                       {"width", result.width},
                       {"height", result.height},
                       {"sampler_name", translation.sampler},
                       {"cfg_scale", facts.guidance_scale},
                       {"steps", facts.steps},
                       {"batch_size", result.items.size()},
                       {"sd_model_name", facts.model},
                       {"sd_model_hash", facts.model_hash},
                       {"clip_skip", translation.clip_skip},
                       {"index_of_first_image", 0}};
  for (const auto& item : result.items) {
    info["all_prompts"].push_back(translation.prompt);
    info["all_negative_prompts"].push_back(translation.negative_prompt);
    info["all_seeds"].push_back(item.seed);
    info["infotexts"].push_back(infotext(facts, item.seed));
  }
  if (!translation.ignored.empty()) info["ignored"] = translation.ignored;
  return info;
}

double rounded(double number) {
  return std::round(number * 10000) / 10000;
}

}  // namespace

std::string parameters_answer(const json& body, const Translation& translation) {
  ordered_json parameters = ordered_json::object();
  for (const auto& [name, value] : body.items()) {
    const bool has_files = name == "init_images" || name == "mask" || name == "alwayson_scripts";
    parameters[name] = has_files ? ordered_json(nullptr) : ordered_json(value);
  }
  if (!translation.ignored.empty()) parameters["ignored"] = translation.ignored;
  return json_text(parameters);
}

std::string images_answer(const std::string& parameters, const Translation& translation,
                          const GenerationRequest& request, const ModelDescription& model,
                          const MetadataOptions& metadata, ImageResult result) {
  const ImageFacts facts{.translation = translation,
                         .steps = request.requested_steps(model.default_steps),
                         .guidance_scale = request.guidance_scale.value_or(model.default_guidance_scale),
                         .size = first_size(request, result),
                         .model = model.id,
                         .model_hash = shown_hash(model, metadata),
                         .hires = request.hires};
  const auto info = json_text(info_json(facts, result));
  // Base64 needs no escaping, so it does not pass through the JSON library.
  std::string text = R"({"images":[)";
  for (auto& item : result.items) {
    if (&item != &result.items.front()) text += ',';
    text.append("\"").append(base64_encode(item.file)).append("\"");
    item.file = {};
  }
  text += R"(],"parameters":)" + parameters;
  text += R"(,"info":)" + json_text(info) + '}';
  return text;
}

std::string progress_answer(const std::vector<Call>& calls, bool with_image) {
  StepProgress progress;
  double seconds = 0;
  std::optional<Image> preview;
  if (!calls.empty()) {
    const auto& call = calls.front();
    progress = call.job->progress();
    seconds = call.job->position().wait_seconds;
    if (with_image) preview = call.feed->newest_preview();
  }
  const auto share = progress.steps_total > 0
                         ? static_cast<double>(progress.steps_done) / static_cast<double>(progress.steps_total)
                         : 0.0;
  const ordered_json state = {{"skipped", false},
                              {"interrupted", false},
                              {"stopping_generation", false},
                              {"job", calls.empty() ? "" : "scripts_txt2img"},
                              {"job_count", calls.size()},
                              {"job_timestamp", "0"},
                              {"job_no", 0},
                              {"sampling_step", progress.steps_done},
                              {"sampling_steps", progress.steps_total}};
  return json_text({{"progress", rounded(share)},
                    {"eta_relative", rounded(seconds)},
                    {"state", state},
                    {"current_image", preview ? ordered_json(base64_encode(encode_png(*preview))) : ordered_json()},
                    {"textinfo", nullptr}});
}

std::string error_answer(const HttpError& error) {
  const bool is_name = !error.code.empty() && error.code.find(' ') != std::string::npos;
  return json_text({{"error", is_name ? error.code : "HTTPException"},
                    {"detail", is_name ? error.code : error.message},
                    {"body", ""},
                    {"errors", error.message}});
}

std::string model_titles(const std::vector<ModelDescription>& models, const MetadataOptions& metadata) {
  auto list = ordered_json::array();
  for (const auto& model : models) {
    if (model.upscale_factor > 0) continue;
    const auto sha256 = metadata.file_hashes ? metadata.file_hashes->known(model.folder) : std::string();
    const auto hash = shown_hash(model, metadata);
    list.push_back({{"title", model.id},
                    {"model_name", model.id},
                    {"hash", hash.empty() ? ordered_json() : ordered_json(hash)},
                    {"sha256", sha256.empty() ? ordered_json() : ordered_json(sha256)},
                    {"filename", model.id},
                    {"config", nullptr}});
  }
  return json_text(list);
}

std::string sampler_names() {
  auto list = ordered_json::array();
  for (const auto& sampler : samplers()) {
    if (!sampler.listed) continue;
    list.push_back({{"name", sampler.name}, {"aliases", {sampler.scheduler}}, {"options", ordered_json::object()}});
  }
  return json_text(list);
}

std::string spacing_names() {
  ordered_json list = {{{"name", "automatic"},
                        {"label", "Automatic"},
                        {"aliases", nullptr},
                        {"default_rho", -1.0},
                        {"need_inner_model", false}}};
  for (const auto& spacing : spacings()) {
    if (!spacing.listed) continue;
    list.push_back({{"name", spacing.name},
                    {"label", spacing.label},
                    {"aliases", nullptr},
                    {"default_rho", std::string_view(spacing.name) == "karras" ? 7.0 : -1.0},
                    {"need_inner_model", false}});
  }
  return json_text(list);
}

std::string upscaler_names(const std::vector<ModelDescription>& models) {
  auto list = ordered_json::array();
  const auto add = [&](const std::string& name, double scale) {
    list.push_back(
        {{"name", name}, {"model_name", nullptr}, {"model_path", nullptr}, {"model_url", nullptr}, {"scale", scale}});
  };
  for (const char* name : {"None", "Lanczos", "Nearest"}) add(name, 4);  // in A1111's order, and with its scale
  for (const auto& model : models) {
    if (model.upscale_factor > 0) add(model.id, model.upscale_factor);
  }
  return json_text(list);
}

std::string latent_modes() {
  auto list = ordered_json::array();
  for (const auto& row : kHiresUpscalers) {
    if (enlarges_latents(row.upscaler)) list.push_back({{"name", row.name}});
  }
  return json_text(list);
}

std::string autoencoder_names(const std::vector<std::string>& names) {
  auto list = ordered_json::array();
  for (const auto& name : names) list.push_back({{"model_name", name}, {"filename", name}});
  return json_text(list);
}

std::string learned_words(const std::vector<LearnedWord>& words) {
  auto loaded = ordered_json::object();
  for (const auto& word : words) {
    loaded[word.word] = {{"step", nullptr},
                         {"sd_checkpoint", nullptr},
                         {"sd_checkpoint_name", nullptr},
                         {"shape", word.width},
                         {"vectors", word.vectors}};
  }
  return json_text({{"loaded", std::move(loaded)}, {"skipped", ordered_json::object()}});
}

std::string memory_answer(const std::vector<DeviceMemory>& devices) {
  const auto bytes = [](const DeviceMemory& memory) -> ordered_json {
    return {{"free", memory.free}, {"used", memory.total - memory.free}, {"total", memory.total}};
  };
  ordered_json ram = {{"error", "unavailable"}}, cuda = {{"error", "unavailable"}};
  for (const auto& device : devices) {
    if (device.device == "cpu") {
      ram = bytes(device);
    } else if (!cuda.contains("system")) {
      cuda = {{"system", bytes(device)}};
    }
  }
  return json_text({{"ram", std::move(ram)}, {"cuda", std::move(cuda)}});
}

std::string info_answer(const std::string& text) {
  // Two prompts of the greatest length and all settings of any program are smaller.
  constexpr std::size_t kMaxBytes = std::size_t{1} << 20, kMaxParameters = 1000;
  const auto parsed = text.size() > kMaxBytes ? ParametersText() : parse_parameters(text);
  if (text.size() > kMaxBytes || parsed.settings.size() > kMaxParameters) {
    throw HttpFailure({.status = 400,
                       .message = concat("The image has more than ", kMaxBytes >> 20, " MiB of generation parameters, ",
                                         "or more than ", kMaxParameters, " of them."),
                       .param = "image",
                       .code = "invalid_value"});
  }
  auto parameters = ordered_json::object(), items = ordered_json::object();
  if (!text.empty()) {
    items["parameters"] = text;
    parameters["Prompt"] = parsed.prompt;
    parameters["Negative prompt"] = parsed.negative_prompt;
    for (const auto& [name, value] : parsed.settings) parameters[name] = value;
  }
  return json_text({{"info", text}, {"items", items}, {"parameters", parameters}});
}

std::string extra_answer(const std::string& file) {
  return concat(R"({"html_info":"","image":")", base64_encode(file), R"("})");
}

std::string extras_answer(const std::vector<std::string>& files) {
  std::string text = R"({"html_info":"","images":[)";
  for (const auto& file : files) text += concat(&file == &files.front() ? "\"" : ",\"", base64_encode(file), "\"");
  return text + "]}";
}

std::string adapter_names(const std::vector<AdapterDescription>& adapters) {
  auto list = ordered_json::array();
  for (const auto& adapter : adapters) {
    const auto& alias = adapter.alias.empty() ? adapter.name : adapter.alias;
    list.push_back({{"name", adapter.name},
                    {"alias", alias},
                    {"path", adapter.name},
                    {"metadata", {{"family", adapter.family}, {"trigger_words", adapter.trigger_words}}}});
  }
  return json_text(list);
}

}  // namespace easel::http::sdapi
