// The table of fields, and what reads them by their kinds.
#include "http/openai/request_fields.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <iterator>
#include <optional>

#include "core/text.h"
#include "http/openai/field_values.h"
#include "http/openai/streaming/stream_fields.h"

namespace easel::http {
namespace {

using Request = GenerationRequest;
using Pixels = MicroConditioning::Pixels;

constexpr double kMaxGuidanceScale = 100;
constexpr double kMaxAestheticScore = 100;
constexpr std::int64_t kMaxNoiseLevel = 999;         // the last timestep of training
constexpr std::int64_t kMaxConditionPixels = 65536;  // sizes and corners that condition the model only
// Larger than in any noise schedule: published ones end at timestep 999 and near sigma 160.
constexpr double kMaxTimestep = 1e6;
constexpr double kMaxSigma = 1e6;

constexpr Bound kMaxImages = {.limit = &ServerOptions::max_images, .name = "`--max-images`"};
constexpr Bound kMaxSteps = {.limit = &ServerOptions::max_steps, .name = "`--max-steps`"};
constexpr Bound kMaxClipSkip = {.property = &ModelDescription::max_clip_skip,
                                .name = "the number of layers of the model's text encoder"};

constexpr const char* kQualities[] = {"standard", "hd", "low", "medium", "high", "xhigh", "max", "auto"};
constexpr const char* kStyles[] = {"vivid", "natural"};
constexpr const char* kModerations[] = {"low", "auto"};
constexpr const char* kInputFidelities[] = {"high", "low"};
constexpr const char* kBackgrounds[] = {"transparent", "opaque", "auto"};
constexpr const char* kOutputFormats[] = {"png", "jpeg", "webp", "gif", "svg"};
constexpr const char* kResponseFormats[] = {"url", "b64_json"};
constexpr const char* kPromptSyntaxes[] = {"plain", "a1111"};

void refuse_transparency(Request&, const std::string& background) {
  if (background != "transparent") return;
  throw field_error("background", "invalid_value",
                    "`background` is \"transparent\", but the images of this server are opaque.");
}

void refuse_other_formats(Request&, const std::string& format) {
  if (format == "png") return;
  throw field_error("output_format", "invalid_value",
                    concat("`output_format` is ", quote(format), ", but this server answers with png only."));
}

void refuse_links(Request&, const std::string& format) {
  if (format != "url") return;
  throw field_error("response_format", "invalid_value",
                    "`response_format` is \"url\", but this server keeps no files to link to; ask for \"b64_json\".");
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
    {"model", CustomField{FieldType::kString, "text", &read_model},
     "Id of a served model. Without one, or with one of OpenAI's model names, the default model; on `upscale` the "
     "first "
     "model that upscales."},
    {"prompt", CustomField{FieldType::kString, "text of up to `--max-prompt-chars` characters", &read_prompt},
     "What to draw. Required on generations and edits, and not empty there."},
    {"image", FileField{}, "The image to start from. Required. In a form also `image[]`.", FieldRoutes::kWithImage},
    {"images", FileField{}, "OpenAI's spelling: a list of one object `{\"image_url\": \"data:...\"}`.",
     FieldRoutes::kWithImage, FieldBodies::kJson},
    {"mask", FileField{}, "Where to redraw the image; of the same size. Edits only.", FieldRoutes::kWithImage},
    {"n", IntegerField{1, kMaxImages, [](Request& r, std::int64_t n) { r.num_images = n; }},
     "How many images. Image i, counted from 0, has the seed `seed` + i."},
    {"quality", ChoiceField{kQualities}, "Changes nothing."},
    {"style", ChoiceField{kStyles}, "Changes nothing."},
    {"moderation", ChoiceField{kModerations}, "Changes nothing."},
    {"input_fidelity", ChoiceField{kInputFidelities}, "Changes nothing."},
    {"background", ChoiceField{kBackgrounds, &refuse_transparency}, "`transparent` is refused."},
    {"output_format", ChoiceField{kOutputFormats, &refuse_other_formats}, "All but `png` are refused."},
    {"output_compression", IntegerField{0, {.number = 100}}, "Changes nothing."},
    {"response_format", ChoiceField{kResponseFormats, &refuse_links},
     "`url` is refused: images are in the response, as base64."},
    {"stream", BooleanField{}, "`true`: the response is a stream of events: see [streaming.md](streaming.md)."},
    {"partial_images", IntegerField{0, {.number = kMaxPartialImages}},
     "How many rough images a stream has before the finished one. Default: 0."},
    {"progress", BooleanField{}, "`true`: a stream has events that tell the progress, too."},
    {"size", CustomField{FieldType::kString, "`WIDTHxHEIGHT` in pixels, or `auto`", &read_size},
     "Size of the images. Without it the model's own size; where there is an input image, that image's."},
    {"negative_prompt", TextField{[](Request& r, std::string text) { r.negative_prompt = std::move(text); }},
     "What to keep out of the image."},
    {"seed", CustomField{FieldType::kString, "integer, 0 to 9223372036854775807, or as text; -1", &read_seed},
     "The same seed gives the same image. -1, or none: a random seed, which the response reports."},
    {"guidance_scale", NumberField{0, kMaxGuidanceScale, [](Request& r, double scale) { r.guidance_scale = scale; }},
     "How closely to follow the prompt; up to 1 turns guidance off. Default: the model's."},
    {"steps", IntegerField{1, kMaxSteps, [](Request& r, std::int64_t steps) { r.num_inference_steps = steps; }},
     "Another name of `num_inference_steps`, which wins where both are there."},
    {"num_inference_steps",
     IntegerField{1, kMaxSteps, [](Request& r, std::int64_t steps) { r.num_inference_steps = steps; }},
     "Number of denoising steps. Default: the model's."},
    {"scheduler", CustomField{FieldType::kString, "a name from `schedulers` of `GET /v1/models/{id}`", &read_scheduler},
     "Sampling algorithm. A1111's names, such as `DPM++ 2M Karras`, are understood. Default: the model's."},
    {"eta", NumberField{0, 1, [](Request& r, double eta) { r.eta = eta; }},
     "Share of noise that DDIM and TCD add in each step. Other schedulers ignore it."},
    {"clip_skip", IntegerField{0, kMaxClipSkip, [](Request& r, std::int64_t layers) { r.clip_skip = layers; }},
     "Layers of the text encoder to leave out, counted from the last."},
    {"guidance_rescale", NumberField{0, 1, [](Request& r, double share) { r.guidance_rescale = share; }},
     "How far to bring guided predictions back to the standard deviation of the prompt's own."},
    {"denoising_end", NumberField{0, 1, [](Request& r, double share) { r.denoising_end = share; }},
     "Share of the noise that the base model removes before the refiner takes over. Models with a refiner only."},
    {"strength", NumberField{0, 1, [](Request& r, double strength) { r.strength = strength; }},
     "How far to depart from the input image.", FieldRoutes::kWithImage},
    {"image_guidance_scale",
     NumberField{0, kMaxGuidanceScale, [](Request& r, double scale) { r.image_guidance_scale = scale; }},
     "How closely InstructPix2Pix follows the input image; below 1 turns its guidance off.", FieldRoutes::kWithImage},
    {"noise_level",
     IntegerField{0, {.number = kMaxNoiseLevel}, [](Request& r, std::int64_t level) { r.noise_level = level; }},
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
     NumberField{0, kMaxAestheticScore, [](Request& r, double score) { r.micro_conditioning.aesthetic_score = score; }},
     "Score to aim at. SDXL's refiner only. Default: 6."},
    {"negative_aesthetic_score",
     NumberField{0, kMaxAestheticScore,
                 [](Request& r, double score) { r.micro_conditioning.negative_aesthetic_score = score; }},
     "`aesthetic_score` of the negative prompt. Default: 2.5."},
    {"timesteps",
     NumbersField{kMaxSteps, 0, kMaxTimestep,
                  [](Request& r, std::vector<double> timesteps) { r.timesteps = std::move(timesteps); }},
     "The scheduler's timesteps, descending, instead of `num_inference_steps`."},
    {"sigmas", NumbersField{kMaxSteps, 0, kMaxSigma, &set_sigmas},
     "The scheduler's sigmas, descending, instead of `num_inference_steps` and `timesteps`."},
    {"prompt_syntax", ChoiceField{kPromptSyntaxes, &set_prompt_syntax},
     "How prompts are read: see [prompts.md](prompts.md). Default: `--prompt-syntax`."},
    {"loras",
     CustomField{FieldType::kArray,
                 "up to 16 of `{\"name\": \"ink\", \"weight\": 0.8, \"text_encoder_weight\": 0.5}`, or names",
                 &read_loras},
     "Adapters: see [adapters.md](adapters.md). `weight` is 1 by default, `text_encoder_weight` the same as `weight`."},
};

Pixels whole_pixels(const char* field, const std::vector<double>& numbers) {
  const auto whole = [](double number) { return number == std::floor(number); };
  if (numbers.size() != 2 || !std::all_of(numbers.begin(), numbers.end(), whole)) {
    throw field_error(
        field, "invalid_value",
        concat("`", field, "` must be two integers: [height, width] of a size, [top, left] of a corner."));
  }
  return {static_cast<int>(numbers[0]), static_cast<int>(numbers[1])};
}

// Reads one field according to its kind.
struct FieldReader {
  const char* name;
  const Fields& fields;
  FieldContext& context;
  Request& request;

  template <class Value, class Setter>
  void set(std::optional<Value> value, Setter setter) const {
    if (value && setter) setter(request, std::move(*value));
  }

  void operator()(const IntegerField& field) const {
    set(fields.integer(name, field.min, field.max.value(context)), field.set);
  }
  void operator()(const NumberField& field) const { set(fields.number(name, field.min, field.max), field.set); }
  void operator()(const BooleanField& field) const { set(fields.boolean(name), field.set); }
  void operator()(const TextField& field) const { set(fields.text(name, context.limits.max_prompt_chars), field.set); }
  void operator()(const ChoiceField& field) const {
    set(fields.choice(name, {field.choices.begin(), field.choices.end()}), field.set);
  }
  void operator()(const NumbersField& field) const {
    const auto max_count = static_cast<std::size_t>(field.max_count.value(context));
    set(fields.numbers(name, max_count, field.min, field.max), field.set);
  }
  void operator()(const PixelsField& field) const {
    constexpr std::size_t kAxes = 2;
    const auto numbers = fields.numbers(name, kAxes, static_cast<double>(field.min), static_cast<double>(field.max));
    if (numbers) set(std::optional(whole_pixels(name, *numbers)), field.set);
  }
  void operator()(const FileField&) const {}
  void operator()(const CustomField& field) const { field.read(fields, context, request); }
};

}  // namespace

std::int64_t Bound::value(const FieldContext& context) const {
  if (limit) return context.limits.*limit;
  if (property) return context.model->*property;
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

GenerationRequest read_request_fields(const Fields& fields, FieldContext context) {
  GenerationRequest request;
  for (const auto& field : kFields) {
    std::visit(FieldReader{field.name, fields, context, request}, field.kind);
    const bool needs_image = field.routes == FieldRoutes::kWithImage && type_of(field) != FieldType::kFile;
    if (needs_image && context.task == ImageTask::kGenerate && fields.find(field.name)) {
      throw field_error(field.name, "unsupported_parameter",
                        concat("`", field.name, "` needs an image to start from: see POST /v1/images/edits."));
    }
  }
  return request;
}

}  // namespace easel::http
