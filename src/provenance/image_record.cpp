#include "provenance/image_record.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/text.h"
#include "easel/error.h"
#include "provenance/file_hashes.h"  // IWYU pragma: keep
#include "provenance/hashes.h"
#include "provenance/request_json.h"

namespace easel {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::string_view kSoftware = "easel ";
constexpr std::size_t kShownDigits = 10;  // of the hash of a file, on model sites and in A1111's texts

bool uses_guidance(const ModelDescription& model) {
  const auto& unused = model.unused_fields;
  return std::find(unused.begin(), unused.end(), "guidance_scale") == unused.end();
}

/// With the model's defaults where the request has no value, so that later defaults change nothing.
GenerationRequest with_defaults(GenerationRequest request, const ModelDescription& model,
                                const MetadataOptions& options) {
  if (request.timesteps.empty() && request.sigmas.empty() && !request.num_inference_steps)
    request.num_inference_steps = model.default_steps;
  if (!request.scheduler && !model.default_scheduler.empty()) request.scheduler = model.default_scheduler;
  if (!request.guidance_scale && uses_guidance(model)) request.guidance_scale = model.default_guidance_scale;
  if (!request.prompt_syntax)
    request.prompt_syntax = options.prompt_syntax == "a1111" ? PromptSyntax::kA1111 : PromptSyntax::kPlain;
  if (request.padding_mask_crop && !request.width) {
    request.width = model.native_width;
    request.height = model.native_height;
  }
  return request;
}

std::string hash_of(const std::shared_ptr<const Image>& image) {
  return image ? image_hash(*image) : std::string();
}

/// The layers that A1111's "Clip skip" counts. Text encoders of Stable Diffusion 2 and SDXL stop at the layer before
/// the last by default, which A1111 counts, too.
std::int64_t a1111_clip_skip(std::int64_t clip_skip, const ModelDescription& model) {
  constexpr std::int64_t kLayersOfSd1 = 12;
  return clip_skip + (model.family == "stable-diffusion" && model.max_clip_skip <= kLayersOfSd1 ? 1 : 2);
}

/// The hash of a model as a record has it: the one that model sites show, or easel's own.
/// @param of_file  as shown_hash()
std::string recorded_hash(const ModelDescription& model, const std::string& of_file) {
  return of_file.empty() ? model_hash(model.folder) : of_file;
}

std::string parameters_of(const GenerationRequest& request, bool edited, const ModelDescription& model,
                          const std::string& hash, const std::string& version, int width, int height) {
  ParametersText text{.prompt = request.prompt, .negative_prompt = request.negative_prompt};
  for (const auto& adapter : request.loras) text.prompt += concat(" <lora:", adapter.name, ':', adapter.weight, '>');
  const auto add = [&](const char* name, const auto& value) { text.settings.emplace_back(name, concat(value)); };
  add("Steps", request.requested_steps(model.default_steps));
  if (request.scheduler) add("Sampler", *request.scheduler);
  // Forge's words for a model that takes the guidance scale as an input.
  if (model.separate_guidance) add("CFG scale", request.true_cfg_scale.value_or(1));
  if (request.guidance_scale) {
    add(model.separate_guidance ? "Distilled CFG Scale" : "CFG scale", *request.guidance_scale);
  }
  add("Seed", request.seed);
  add("Size", concat(width, 'x', height));
  if (!hash.empty()) add("Model hash", hash);
  add("Model", model.id);
  if (edited && model.upscale_factor == 0) add("Denoising strength", request.strength.value_or(model.default_strength));
  if (request.hires) {
    add("Denoising strength", request.hires->strength);
    add("Hires resize", concat(request.hires->width, 'x', request.hires->height));
    if (request.hires->num_inference_steps) add("Hires steps", *request.hires->num_inference_steps);
    add("Hires upscaler", request.hires->upscaler_name());
  }
  if (request.padding_mask_crop) {
    add("Inpaint area", "Only masked");
    add("Masked area padding", *request.padding_mask_crop);
  }
  if (request.clip_skip.value_or(0) != 0) add("Clip skip", a1111_clip_skip(*request.clip_skip, model));
  add("Version", concat(kSoftware, version));
  return write_parameters(text);
}

/// What the images of one request have in common.
struct RequestOrigin {
  GenerationRequest request;  ///< without images
  ModelDescription model;
  MetadataOptions options;
  std::optional<ModelDescription> upscaler;
  std::once_flag hashed;
  ordered_json record;  ///< its hashes of models are empty until then
  std::string shown_hash;
  bool edited = false;
};

ImageMetadata metadata_of(const RequestOrigin& origin, const GeneratedImage& image) {
  ImageMetadata metadata;
  if (origin.options.mark) {
    metadata.source =
        origin.edited ? DigitalSource::kCompositeWithTrainedAlgorithmicMedia : DigitalSource::kTrainedAlgorithmicMedia;
  }
  if (!origin.options.embed) return metadata;
  auto request = origin.request;
  request.seed = image.seed;
  // With padding_mask_crop the request's size is that of the part that was drawn, and with a second pass that of the
  // first.
  if (request.hires) {
    request.width = request.width.value_or(origin.model.native_width);
    request.height = request.height.value_or(origin.model.native_height);
  } else if (!request.padding_mask_crop) {
    request.width = image.image.width;
    request.height = image.image.height;
  }
  const auto width = request.hires ? *request.width : image.image.width;
  const auto height = request.hires ? *request.height : image.image.height;
  metadata.parameters =
      parameters_of(request, origin.edited, origin.model, origin.shown_hash, origin.options.version, width, height);
  auto record = origin.record;
  record["request"] = request_to_json(request);
  metadata.record = record.dump(-1, ' ', /*ensure_ascii=*/true, ordered_json::error_handler_t::replace);
  return metadata;
}

// A model may compute in another dtype than the one that was asked for: see ModelOptions::dtype.
const std::string& dtype_of(const ModelDescription& model, const MetadataOptions& options) {
  return model.dtype.empty() ? options.dtype : model.dtype;
}

// Not before the first image: a request must be accepted although the mount of its model does not respond.
void read_hashes(RequestOrigin& origin) {
  if (!origin.options.embed) return;
  origin.shown_hash = shown_hash(origin.model, origin.options);
  origin.record["model_hash"] = recorded_hash(origin.model, origin.shown_hash);
  if (!origin.upscaler) return;
  origin.record["upscaler_hash"] = recorded_hash(*origin.upscaler, shown_hash(*origin.upscaler, origin.options));
}

// The present hash of a model, of the kind that a record has.
std::string comparable_hash(const std::string& recorded, const ModelDescription& model,
                            const MetadataOptions& options) {
  const bool is_shown_one = recorded.size() == kShownDigits && options.file_hashes;
  return is_shown_one ? options.file_hashes->compute(model.folder).substr(0, kShownDigits) : model_hash(model.folder);
}

}  // namespace

std::string shown_hash(const ModelDescription& model, const MetadataOptions& options) {
  return options.file_hashes ? options.file_hashes->known(model.folder).substr(0, kShownDigits) : std::string();
}

MetadataOf metadata_of_request(const GenerationRequest& request, const ModelDescription& model,
                               const MetadataOptions& options, const ModelDescription* upscaler) {
  const auto origin = std::make_shared<RequestOrigin>();
  origin->request = with_defaults(request, model, options);
  origin->model = model;
  origin->options = options;
  origin->edited = request.image != nullptr;
  if (upscaler) origin->upscaler = *upscaler;
  origin->request.image = origin->request.mask = nullptr;  // jobs keep the function for long
  origin->request.more_images = {};
  if (options.embed) {
    if (options.file_hashes) options.file_hashes->compute_later(model.folder);
    auto& record = origin->record;
    record = {{"software", concat(kSoftware, options.version)},
              {"libtorch", options.libtorch},
              {"device", options.device},
              {"dtype", dtype_of(model, options)},
              {"model", model.id},
              {"model_hash", ""}};  // read with the first image
    if (request.image) record["image_hash"] = hash_of(request.image);
    if (request.mask) record["mask_hash"] = hash_of(request.mask);
  }
  return [origin](const GeneratedImage& image) {
    std::call_once(origin->hashed, [&] { read_hashes(*origin); });
    return metadata_of(*origin, image);
  };
}

ImageRecord read_image_record(const std::string& record) {
  const auto object = json::parse(record, nullptr, /*allow_exceptions=*/false);
  const auto text_of = [&](const char* name) {
    const auto found = object.find(name);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  if (!object.is_object() || !text_of("software").starts_with(kSoftware) || !object.contains("request") ||
      !object["request"].is_object()) {
    throw Error(ErrorCode::kInvalidArgument, "the file has no record of how easel made it");
  }
  ImageRecord found;
  request_from_json(object["request"], found.request);
  found.model = text_of("model");
  found.model_hash = text_of("model_hash");
  found.image_hash = text_of("image_hash");
  found.mask_hash = text_of("mask_hash");
  found.upscaler_hash = text_of("upscaler_hash");
  found.made_with.version = text_of("software").substr(kSoftware.size());
  found.made_with.libtorch = text_of("libtorch");
  found.made_with.device = text_of("device");
  found.made_with.dtype = text_of("dtype");
  return found;
}

std::vector<std::string> differences(const ImageRecord& record, const GenerationRequest& request,
                                     const ModelDescription& model, const MetadataOptions& options,
                                     const ModelDescription* upscaler) {
  std::vector<std::string> found;
  const auto compare = [&](const char* what, const std::string& then, const std::string& now) {
    if (then != now) found.push_back(concat(what, " was ", quote(then), " and is now ", quote(now)));
  };
  const auto& then = record.made_with;
  compare("the version of easel", then.version, options.version);
  compare("the version of libtorch", then.libtorch, options.libtorch);
  compare("the device", then.device, options.device);
  compare("the dtype", then.dtype, dtype_of(model, options));
  compare("the model's hash", record.model_hash, comparable_hash(record.model_hash, model, options));
  if (upscaler) {
    compare("the hash of the model that upscales", record.upscaler_hash,
            comparable_hash(record.upscaler_hash, *upscaler, options));
  }
  compare("the hash of the input image", record.image_hash, hash_of(request.image));
  compare("the hash of the mask", record.mask_hash, hash_of(request.mask));
  const auto requested = request_to_json(with_defaults(request, model, options)),
             recorded = request_to_json(record.request);
  for (const auto& [name, value] : recorded.items()) {
    const auto now = requested.find(name);
    const auto text = now == requested.end() ? std::string() : now->dump();
    compare(name.c_str(), value.dump(), text);
  }
  return found;
}

}  // namespace easel
