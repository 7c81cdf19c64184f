// The table of fields.
#include "http/openai/fields/request_fields.h"

#include <algorithm>
#include <iterator>

#include "core/text.h"
#include "http/openai/fields/field_values.h"

namespace easel::http {
namespace {

using Request = ImageRequest;
using Pixels = MicroConditioning::Pixels;

constexpr double kMaxAestheticScore = 100;
constexpr std::int64_t kMaxMaskBlur = 64;            // pixels
constexpr std::int64_t kMaxMaskPadding = 16384;      // pixels: the longest edge of an upload
constexpr std::int64_t kMaxNoiseLevel = 999;         // the last timestep of training
constexpr std::int64_t kMaxConditionPixels = 65536;  // sizes and corners that condition the model only
// Larger than in any noise schedule: published ones end at timestep 999 and near sigma 160.
constexpr double kMaxTimestep = 1e6;
constexpr double kMaxSigma = 1e6;

constexpr Bound kMaxImages = {.limit = &ServerOptions::max_images, .name = "`--max-images`"};
constexpr Bound kMaxSteps = {.limit = &ServerOptions::max_steps, .name = "`--max-steps`"};
// Of models without a text encoder that can be cut short, `clip_skip` is set aside whatever its value is.
constexpr std::int64_t kMaxUnusedClipSkip = 100;
constexpr Bound kMaxClipSkip = {.number = kMaxUnusedClipSkip,
                                .property = &ModelDescription::max_clip_skip,
                                .name = "the number of layers of the model's text encoder"};

// JSON Schemas of the fields that have rules of their own.
constexpr char kModelSchema[] = R"({"type": "string", "examples": ["emoji"]})";
constexpr char kPromptSchema[] = R"({"type": "string", "examples": ["a fox on a blue background"]})";
constexpr char kBackgroundSchema[] = R"({"enum": ["transparent", "opaque", "auto"], "examples": ["opaque"]})";
constexpr char kResponseFormatSchema[] = R"({"enum": ["url", "b64_json"], "examples": ["b64_json"]})";
constexpr char kSizeSchema[] =
    R"({"type": "string", "pattern": "^([0-9]{1,5}x[0-9]{1,5}|auto|)$", "examples": ["512x512"]})";
constexpr char kSeedSchema[] = R"({"anyOf": [{"type": "integer", "minimum": -1, "maximum": 18446744073709551615},
                                             {"type": "string", "pattern": "^(-1|[0-9]{1,20})$"}], "examples": [7]})";
constexpr char kSchedulerSchema[] = R"({"type": "string", "maxLength": 100, "examples": ["euler_ancestral"]})";
constexpr char kSamplerSchema[] = R"({"type": "string", "maxLength": 100, "examples": ["Euler a"]})";
constexpr char kEdgeSchema[] = R"({"type": "integer", "minimum": 1, "maximum": 99999, "examples": [512]})";
constexpr char kRatioSchema[] =
    R"({"type": "string", "pattern": "^([0-9]{1,4}:[0-9]{1,4}|auto)$", "examples": ["16:9"]})";
constexpr char kCfgScaleSchema[] = R"({"type": "number", "minimum": 0, "maximum": 100, "examples": [7.5]})";
constexpr char kLorasSchema[] = R"({"type": "array", "maxItems": 16,
  "items": {"anyOf": [{"type": "string", "minLength": 1, "maxLength": 255},
                      {"type": "object", "required": ["name"], "additionalProperties": {"type": "null"},
                       "properties": {"name": {"type": "string", "minLength": 1, "maxLength": 255},
                                      "weight": {"type": ["number", "null"], "minimum": -100, "maximum": 100},
                                      "text_encoder_weight": {"type": ["number", "null"], "minimum": -100,
                                                              "maximum": 100}}}]},
  "examples": [[{"name": "ink", "weight": 0.8}]]})";
constexpr char kHiresSchema[] = R"({"type": "object", "additionalProperties": {"type": "null"}, "properties": {
  "scale": {"type": ["number", "null"], "minimum": 1, "maximum": 8},
  "width": {"type": ["integer", "null"], "minimum": 1, "maximum": 99999},
  "height": {"type": ["integer", "null"], "minimum": 1, "maximum": 99999},
  "steps": {"type": ["integer", "null"], "minimum": 1, "maximum": 10000},
  "strength": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
  "upscaler": {"type": ["string", "null"], "maxLength": 255}},
  "examples": [{"scale": 2, "strength": 0.6, "upscaler": "Latent"}]})";
constexpr char kIntervalSchema[] = R"({"type": "array", "minItems": 2, "maxItems": 2,
  "items": {"type": "number", "minimum": 0, "maximum": 1}, "examples": [[0.2, 0.8]]})";
constexpr double kTimestepsExample[] = {999, 749, 499, 249};
constexpr double kSigmasExample[] = {14.6, 3.2, 0.9, 0};

constexpr const char* kQualities[] = {"standard", "hd", "low", "medium", "high", "xhigh", "max", "auto"};
constexpr const char* kStyles[] = {"vivid", "natural"};
constexpr const char* kModerations[] = {"low", "auto"};
constexpr const char* kInputFidelities[] = {"high", "low"};
constexpr const char* kOutputFormats[] = {"png", "jpeg", "webp", "gif", "svg"};
constexpr const char* kPromptSyntaxes[] = {"plain", "a1111"};

void set_quality(Request& request, const std::string& quality) {
  const bool is_medium = quality == "medium" || quality == "standard";
  request.response.quality = quality == "low" ? "low" : is_medium ? "medium" : "high";
}

void set_output_format(Request& request, const std::string& name) {
  const auto format = format_named(name);
  if (!format) {
    throw field_error("output_format", "invalid_value",
                      concat("`output_format` is ", quote(name), ", but this server answers with png, jpeg and webp."));
  }
  request.response.output.format = *format;
}

void set_output_compression(Request& request, std::int64_t quality) {
  request.response.output.compression = static_cast<int>(quality);
}

void set_stream(Request& request, bool stream) {
  request.stream.enabled = stream;
}

void set_partial_images(Request& request, std::int64_t count) {
  request.stream.partial_images = count;
}

void set_progress(Request& request, bool progress) {
  request.stream.progress = progress;
}

void set_num_images(Request& request, std::int64_t count) {
  request.num_images = count;
}

void set_negative_prompt(Request& request, std::string text) {
  request.negative_prompt = std::move(text);
}

void set_steps(Request& request, std::int64_t steps) {
  request.num_inference_steps = steps;
}

void set_guidance_scale(Request& request, double scale) {
  request.guidance_scale = scale;
}

void set_strength(Request& request, double strength) {
  request.strength = strength;
}

void set_sigmas(Request& request, std::vector<double> sigmas) {
  if (!request.timesteps.empty()) {
    throw field_error("sigmas", "invalid_value", "A request may have `timesteps` or `sigmas`, not both.");
  }
  request.sigmas = std::move(sigmas);
}

void set_prompt_syntax(Request& request, const std::string& syntax) {
  request.prompt_syntax = syntax == "plain" ? PromptSyntax::kPlain : PromptSyntax::kA1111;
}

// OpenAI's fields first. The fields that a diffusion model has no use for are checked against OpenAI's own values, so
// that a mistake is reported; a valid value that needs another kind of response is refused; any other changes nothing.
const RequestField kFields[] = {
    {"model", CustomField{FieldType::kString, "text", &read_model, kModelSchema},
     "Id of a served model. Without one, or with one of OpenAI's model names, the default model; on `upscale` the "
     "first "
     "model that upscales."},
    {"prompt",
     CustomField{FieldType::kString, "text of up to `--max-prompt-chars` characters", &read_prompt, kPromptSchema},
     "What to draw. Required on generations and edits, and not empty there."},
    {"image", FileField{}, "The image to start from, or up to 16, as a list or as repeated parts `image[]`. Required.",
     FieldRoutes::kWithImage},
    {"images", FileField{}, "OpenAI's spelling: a list of up to 16 objects `{\"image_url\": \"data:...\"}`.",
     FieldRoutes::kWithImage, FieldBodies::kJson},
    {"mask", FileField{}, "Where to redraw the first image; of the same size. Edits only.", FieldRoutes::kWithImage},
    {"mask_blur",
     IntegerField{
         0, {.number = kMaxMaskBlur}, [](Request& r, std::int64_t blur) { r.mask_blur = static_cast<int>(blur); }, 4},
     "Radius, in pixels of the mask, of a Gaussian blur of the mask. Default: 0.", FieldRoutes::kWithImage},
    {"padding_mask_crop",
     IntegerField{0,
                  {.number = kMaxMaskPadding},
                  [](Request& r, std::int64_t padding) { r.padding_mask_crop = static_cast<int>(padding); }},
     "Draws only the part that the mask selects, with this many pixels around it: see [small parts](#small-parts).",
     FieldRoutes::kWithImage},
    {"keep_unmasked", BooleanField{[](Request& r, bool keep) { r.keep_unmasked = keep; }},
     "`false`: what the mask keeps goes through the model, too, and changes slightly. Default: `true`.",
     FieldRoutes::kWithImage},
    {"n", IntegerField{1, kMaxImages, &set_num_images},
     "How many images. Image i, counted from 0, has the seed (`seed` + i) modulo 2^64."},
    {"quality", ChoiceField{kQualities, &set_quality},
     "Changes nothing but the `quality` of the response: `low`, `medium` (also for `standard`) or `high`."},
    {"style", ChoiceField{kStyles}, "Changes nothing."},
    {"moderation", ChoiceField{kModerations}, "Changes nothing."},
    {"input_fidelity", ChoiceField{kInputFidelities}, "Changes nothing."},
    {"background",
     CustomField{FieldType::kString, "`transparent`, `opaque`, `auto`", &read_background, kBackgroundSchema},
     "`transparent` is refused, or with `--opaque-instead-of-transparent` taken for `opaque`."},
    {"output_format", ChoiceField{kOutputFormats, &set_output_format},
     "Format of the image files. Default: `png`. `gif` and `svg` are refused."},
    {"output_compression", IntegerField{0, {.number = 100}, &set_output_compression, 90},
     "Quality of `jpeg` and `webp`; lower makes smaller files. Default: 100. `png` ignores it."},
    {"embed_metadata", BooleanField{[](Request& r, bool embed) { r.response.embed_metadata = embed; }},
     "`false`: the files do not say how they were made. See [metadata.md](metadata.md)."},
    {"response_format",
     CustomField{FieldType::kString, "`url`, `b64_json`", &read_response_format, kResponseFormatSchema},
     "Links to the images, or the images themselves. Without it: see [clients.md](clients.md#links-and-base64)."},
    {"stream", BooleanField{&set_stream},
     "`true`: the response is a stream of events: see [streaming.md](streaming.md)."},
    {"partial_images", IntegerField{0, {.number = kMaxPartialImages}, &set_partial_images, 2},
     "How many rough images a stream has before the finished one. Default: 0."},
    {"progress", BooleanField{&set_progress}, "`true`: a stream has events that tell the progress, too."},
    {"size", CustomField{FieldType::kString, "`WIDTHxHEIGHT` in pixels, or `auto`", &read_size, kSizeSchema},
     "Size of the images. Without it the model's own size; where there is an input image, that image's, or less: see "
     "[large images](#large-images)."},
    {"negative_prompt", TextField{&set_negative_prompt, "blurry"}, "What to keep out of the image."},
    {"seed",
     CustomField{FieldType::kString, "integer, 0 to 18446744073709551615, or as text; -1", &read_seed, kSeedSchema},
     "The same seed gives the same image. -1, or none: a random seed below 2^32. The response reports the seed, above "
     "2^53 "
     "as text. On a CPU, images depend on the low 32 bits only, as with torch's generator."},
    {"guidance_scale", NumberField{0, kMaxGuidanceScale, &set_guidance_scale, 7.5},
     "How closely to follow the prompt; up to 1 turns guidance off. Default: the model's."},
    {"true_cfg_scale", NumberField{0, kMaxGuidanceScale, [](Request& r, double scale) { r.true_cfg_scale = scale; }, 4},
     "How far to depart from the negative prompt, in models that take `guidance_scale` as an input, such as FLUX.1; up "
     "to 1, and without a `negative_prompt`, it changes nothing. Default: 1."},
    {"steps", IntegerField{1, kMaxSteps, &set_steps, 20}, "Another name of `num_inference_steps`.", FieldRoutes::kAll,
     FieldBodies::kAll, FieldOrigin::kForeign, "num_inference_steps"},
    {"num_inference_steps", IntegerField{1, kMaxSteps, &set_steps, 20},
     "Number of denoising steps. Default: the model's."},
    {"scheduler",
     CustomField{FieldType::kString, "a name from `schedulers` of `GET /v1/models/{id}`", &read_scheduler,
                 kSchedulerSchema},
     "Sampling algorithm. A1111's names, such as `DPM++ 2M Karras`, are understood. Default: the model's."},
    {"eta", NumberField{0, 1, [](Request& r, double eta) { r.eta = eta; }, 0.5},
     "Share of noise that DDIM and TCD add in each step. Other schedulers ignore it."},
    {"clip_skip", IntegerField{0, kMaxClipSkip, [](Request& r, std::int64_t layers) { r.clip_skip = layers; }, 1},
     "Layers of the text encoder to leave out, counted from the last."},
    {"guidance_interval",
     CustomField{FieldType::kArray, "`[start, end]`, two numbers, 0 to 1", &read_guidance_interval, kIntervalSchema},
     "The part of the steps that guidance applies to, as fractions; the other steps take about half the time. Default: "
     "all steps. See [schedulers.md](schedulers.md#guidance-in-a-part-of-the-steps)."},
    {"guidance_rescale", NumberField{0, 1, [](Request& r, double share) { r.guidance_rescale = share; }, 0.7},
     "How far to bring guided predictions back to the standard deviation of the prompt's own."},
    {"denoising_end", NumberField{0, 1, [](Request& r, double share) { r.denoising_end = share; }, 0.8},
     "Share of the noise that the base model removes before the refiner takes over. Models with a refiner only."},
    {"strength", NumberField{0, 1, &set_strength, 0.6}, "How far to depart from the input image.",
     FieldRoutes::kWithImage},
    {"image_guidance_scale",
     NumberField{0, kMaxGuidanceScale, [](Request& r, double scale) { r.image_guidance_scale = scale; }, 1.5},
     "How closely InstructPix2Pix follows the input image; below 1 turns its guidance off.", FieldRoutes::kWithImage},
    {"noise_level",
     IntegerField{0, {.number = kMaxNoiseLevel}, [](Request& r, std::int64_t level) { r.noise_level = level; }, 20},
     "Noise that an upscaler adds to the input image, as a timestep. Upscalers that take one only.",
     FieldRoutes::kWithImage},
    {"original_size",
     PixelsField{1, kMaxConditionPixels, [](Request& r, Pixels size) { r.micro_conditioning.original_size = size; }},
     "`[height, width]` of the training image to resemble. SDXL only. Default: the image's size."},
    {"crops_coords_top_left",
     PixelsField{0, kMaxConditionPixels,
                 [](Request& r, Pixels corner) { r.micro_conditioning.crops_coords_top_left = corner; }},
     "`[top, left]` of the crop to resemble. SDXL only. Default: `[0, 0]`."},
    {"target_size",
     PixelsField{1, kMaxConditionPixels, [](Request& r, Pixels size) { r.micro_conditioning.target_size = size; }},
     "`[height, width]` to compose for. SDXL only. Default: the image's size."},
    {"negative_original_size",
     PixelsField{1, kMaxConditionPixels,
                 [](Request& r, Pixels size) { r.micro_conditioning.negative_original_size = size; }},
     "`original_size` of the negative prompt."},
    {"negative_crops_coords_top_left",
     PixelsField{0, kMaxConditionPixels,
                 [](Request& r, Pixels corner) { r.micro_conditioning.negative_crops_coords_top_left = corner; }},
     "`crops_coords_top_left` of the negative prompt."},
    {"negative_target_size",
     PixelsField{1, kMaxConditionPixels,
                 [](Request& r, Pixels size) { r.micro_conditioning.negative_target_size = size; }},
     "`target_size` of the negative prompt."},
    {"aesthetic_score",
     NumberField{0, kMaxAestheticScore, [](Request& r, double score) { r.micro_conditioning.aesthetic_score = score; },
                 6},
     "Score to aim at. SDXL's refiner only. Default: 6."},
    {"negative_aesthetic_score",
     NumberField{0, kMaxAestheticScore,
                 [](Request& r, double score) { r.micro_conditioning.negative_aesthetic_score = score; }, 2.5},
     "`aesthetic_score` of the negative prompt. Default: 2.5."},
    {"timesteps",
     NumbersField{kMaxSteps, 0, kMaxTimestep,
                  [](Request& r, std::vector<double> timesteps) { r.timesteps = std::move(timesteps); },
                  kTimestepsExample},
     "The scheduler's timesteps, descending, instead of `num_inference_steps`."},
    {"sigmas", NumbersField{kMaxSteps, 0, kMaxSigma, &set_sigmas, kSigmasExample},
     "The scheduler's sigmas, descending, instead of `num_inference_steps` and `timesteps`."},
    {"prompt_syntax", ChoiceField{kPromptSyntaxes, &set_prompt_syntax},
     "How prompts are read: see [prompts.md](prompts.md). Default: `--prompt-syntax`."},
    {"loras",
     CustomField{FieldType::kArray,
                 "up to 16 of `{\"name\": \"ink\", \"weight\": 0.8, \"text_encoder_weight\": 0.5}`, or names",
                 &read_loras, kLorasSchema},
     "Adapters: see [adapters.md](adapters.md). `weight` is 1 by default, `text_encoder_weight` the same as `weight`."},
    {"hires",
     CustomField{FieldType::kObject, "`{\"scale\": 2, \"steps\": 10, \"strength\": 0.75, \"upscaler\": \"Latent\"}`",
                 &read_hires, kHiresSchema},
     "A second pass over a larger version of the image: see [hires.md](hires.md). Generations only."},
    {"strict", BooleanField{}, "`true`: fields that would be listed in `ignored` are errors. Default: `--strict`."},
    // Names that other servers established.
    {"cfg_scale", CustomField{FieldType::kNumber, "number, 0 to 100", &read_cfg_scale, kCfgScaleSchema},
     "Another name of `guidance_scale`, or with models such as FLUX.1 of `true_cfg_scale`.", FieldRoutes::kAll,
     FieldBodies::kAll, FieldOrigin::kForeign, "guidance_scale", "true_cfg_scale"},
    {"negativePrompt", TextField{&set_negative_prompt, "blurry"}, "Another name of `negative_prompt`.",
     FieldRoutes::kAll, FieldBodies::kAll, FieldOrigin::kForeign, "negative_prompt"},
    {"rng_seed", CustomField{FieldType::kString, "as `seed`", &read_rng_seed, kSeedSchema}, "Another name of `seed`.",
     FieldRoutes::kAll, FieldBodies::kAll, FieldOrigin::kForeign, "seed"},
    {"num_images_per_prompt", IntegerField{1, kMaxImages, &set_num_images}, "Another name of `n`.", FieldRoutes::kAll,
     FieldBodies::kAll, FieldOrigin::kForeign, "n"},
    {"denoising_strength", NumberField{0, 1, &set_strength, 0.6}, "Another name of `strength`.",
     FieldRoutes::kWithImage, FieldBodies::kAll, FieldOrigin::kForeign, "strength"},
    {"sampler_name", CustomField{FieldType::kString, "as `scheduler`", &read_nothing, kSamplerSchema},
     "Another name of `scheduler`. With one, `scheduler` may also be the spacing of its sigmas, such as `Karras`.",
     FieldRoutes::kAll, FieldBodies::kAll, FieldOrigin::kForeign},
    {"sampler", CustomField{FieldType::kString, "as `scheduler`", &read_nothing, kSamplerSchema},
     "Another name of `sampler_name`.", FieldRoutes::kAll, FieldBodies::kAll, FieldOrigin::kForeign},
    {"width", CustomField{FieldType::kNumber, "pixels", &read_nothing, kEdgeSchema},
     "With `height`, another way to write `size`.", FieldRoutes::kAll, FieldBodies::kAll, FieldOrigin::kForeign},
    {"height", CustomField{FieldType::kNumber, "pixels", &read_nothing, kEdgeSchema},
     "With `width`, another way to write `size`.", FieldRoutes::kAll, FieldBodies::kAll, FieldOrigin::kForeign},
    {"aspect_ratio", CustomField{FieldType::kString, "`W:H`, or `auto`", &read_nothing, kRatioSchema},
     "The shape of an image with as many pixels as the model's own size.", FieldRoutes::kAll, FieldBodies::kAll,
     FieldOrigin::kForeign},
    {"aspectRatio", CustomField{FieldType::kString, "`W:H`, or `auto`", &read_nothing, kRatioSchema},
     "Another name of `aspect_ratio`.", FieldRoutes::kAll, FieldBodies::kAll, FieldOrigin::kForeign},
};

}  // namespace

std::int64_t Bound::value(const FieldContext& context) const {
  if (limit) return context.limits.*limit;
  if (property && context.model->*property > 0) return context.model->*property;
  return number;
}

std::span<const RequestField> request_fields() {
  return kFields;
}

const RequestField* find_request_field(std::string_view name) {
  const auto* const found = std::find_if(std::begin(kFields), std::end(kFields),
                                         [&](const RequestField& field) { return field.name == name; });
  return found == std::end(kFields) ? nullptr : found;
}

FieldType type_of(const RequestField& field) {
  struct {
    FieldType operator()(const IntegerField&) const { return FieldType::kNumber; }
    FieldType operator()(const NumberField&) const { return FieldType::kNumber; }
    FieldType operator()(const BooleanField&) const { return FieldType::kBoolean; }
    FieldType operator()(const TextField&) const { return FieldType::kString; }
    FieldType operator()(const ChoiceField&) const { return FieldType::kString; }
    FieldType operator()(const NumbersField&) const { return FieldType::kArray; }
    FieldType operator()(const PixelsField&) const { return FieldType::kArray; }
    FieldType operator()(const FileField&) const { return FieldType::kFile; }
    FieldType operator()(const CustomField& custom) const { return custom.type; }
  } type;
  return std::visit(type, field.kind);
}

}  // namespace easel::http
