#include "http/sdapi/translation.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "core/text.h"
#include "easel/hires.h"
#include "http/openai/fields/model_choice.h"
#include "http/sdapi/body.h"
#include "http/sdapi/members.h"
#include "http/sdapi/source_images.h"
#include "http/sdapi/spellings.h"
#include "http/wire/http_error.h"
#include "tokenizers/prompt_weights.h"

namespace easel::http::sdapi {
namespace {

using nlohmann::json;

// The text encoders of SD 1.x have 12 layers, those of SD 2.x 23.
constexpr std::int64_t kMostLayersOfSd1 = 12;
// A1111's, of absent members.
constexpr double kDefaultStrength = 0.75;
constexpr double kDefaultMaskBlur = 4;  // pixels

class Translator {
 public:
  Translator(const json& body, bool from_image, const TranslationContext& context)
      : body_(body), from_image_(from_image), context_(context) {}

  Translation run() {
    fields_ = {{"prompt_syntax", "a1111"}, {"response_format", "b64_json"}};
    read_settings();
    read_model();
    read_prompts();
    read_numbers();
    read_sampler();
    read_clip_skip();
    read_size();
    if (from_image_) {
      read_strength();
      read_images();
    } else {
      read_hires();
    }
    note_what_is_left();
    result_.upload.fields = std::move(fields_);
    result_.ignored.assign(ignored_.begin(), ignored_.end());
    return std::move(result_);
  }

 private:
  void read_settings() {
    const auto* settings = body_.find("override_settings");
    if (settings && settings->is_object()) settings_ = *settings;
  }

  std::string setting_text(const char* name) {
    const auto found = settings_.find(name);
    return found != settings_.end() && found->is_string() ? found->get<std::string>() : std::string();
  }

  void read_model() {
    const auto own = setting_text("sd_model_checkpoint");
    const auto named = body_.text("model").value_or("");
    const auto& title = !own.empty() ? own : !named.empty() ? named : context_.chosen_model;
    model_ = title.empty() ? &model_for(from_image_ ? ImageTask::kEdit : ImageTask::kGenerate, context_.models, "",
                                        context_.options)
                           : &model_titled(title, context_);
    fields_["model"] = model_->id;
    fields_["strict"] = false;  // no field that is left out fails a request here, whatever --strict says
  }

  void read_prompts() {
    result_.prompt = body_.text("prompt").value_or("");
    result_.negative_prompt = body_.text("negative_prompt").value_or("");
    // A1111 draws without a prompt; easel's own routes take an empty one for a mistake. To a text encoder a space is
    // the same.
    fields_["prompt"] = result_.prompt.empty() ? " " : without_weights(result_.prompt, "prompt");
    if (!result_.negative_prompt.empty()) {
      fields_["negative_prompt"] = without_weights(result_.negative_prompt, "negative_prompt");
    }
  }

  // Sets a field of easel's to what a member says.
  template <class Value>
  void set(const char* field, const Value& value, const char* member) {
    fields_[field] = value;
    result_.members[field] = member;
  }

  // Weights have a meaning for the features of CLIP only. For other text encoders the brackets are removed.
  std::string without_weights(const std::string& prompt, const char* name) {
    // Stable Diffusion 3 joins CLIP's features with T5's, and reads prompts as they are.
    if (model_->max_clip_skip > 0 && model_->family != "stable-diffusion-3") return prompt;
    fields_["prompt_syntax"] = "plain";
    std::string text;
    for (const auto& part : parse_weighted_prompt(prompt)) {
      if (part.is_break()) {
        text += ' ';
        continue;
      }
      if (part.weight != 1) ignored_.insert(concat(name, " weights"));
      text += part.text;
    }
    return text;
  }

  void read_numbers() {
    if (const auto steps = body_.integer("steps"); steps.value_or(0) > 0) set("num_inference_steps", *steps, "steps");
    const auto* seed = body_.find("seed");
    if (seed != nullptr && seed->is_number_unsigned()) {
      fields_["seed"] = *seed;
    } else if (const auto number = body_.integer("seed").value_or(-1); number >= 0) {
      fields_["seed"] = number;
    }
    const auto batch = body_.integer("batch_size").value_or(1), iterations = body_.integer("n_iter").value_or(1);
    const auto limit = context_.options.max_images;
    const bool fits = batch <= limit && iterations <= limit;
    set("n", fits ? std::max<std::int64_t>(batch, 1) * std::max<std::int64_t>(iterations, 1) : limit + 1, "batch_size");
    if (body_.number("subseed_strength").value_or(0) != 0) {
      ignored_.insert("subseed_strength");
    }
    static_cast<void>(body_.find("subseed"));
    for (const char* name : {"seed_resize_from_w", "seed_resize_from_h"}) {
      if (body_.integer(name).value_or(0) > 0) ignored_.insert(name);
    }
    for (const char* name : {"initial_noise_multiplier", "s_noise"}) {
      const auto factor = body_.number(name).value_or(0);
      if (factor != 0 && factor != 1) ignored_.insert(name);
    }
    read_guidance();
  }

  // Of a distilled model, Forge's `distilled_cfg_scale` is what the model is given, and `cfg_scale` is the scale of a
  // second prediction, which counts only with a negative prompt.
  void read_guidance() {
    const auto scale = body_.number("cfg_scale");
    const auto distilled = body_.number("distilled_cfg_scale");
    if (model_->separate_guidance) {
      if (distilled) set("guidance_scale", *distilled, "distilled_cfg_scale");
      const bool counts = scale && *scale != 1 && !result_.negative_prompt.empty();
      if (counts) set("true_cfg_scale", *scale, "cfg_scale");
      return;
    }
    if (scale) set("guidance_scale", *scale, "cfg_scale");
    if (distilled.value_or(0) != 0) ignored_.insert("distilled_cfg_scale");
  }

  // A1111 always takes at least one step from an image, however small the strength is. Pipelines take none then, and
  // refuse the request.
  double with_one_step(double strength, std::int64_t steps) {
    const auto share = std::clamp(strength, 0.0, 1.0);
    const auto is_enough = [&](double part) { return static_cast<double>(steps) * part >= 1; };
    if (is_enough(share)) return share;
    ignored_.insert("denoising_strength");
    const auto least = 1.0 / static_cast<double>(steps);
    return is_enough(least) ? least : std::nextafter(least, 1.0);
  }

  std::int64_t first_steps() const { return fields_.value("num_inference_steps", model_->default_steps); }

  void read_strength() {
    const auto strength = body_.number("denoising_strength").value_or(kDefaultStrength);
    set("strength", with_one_step(strength, first_steps()), "denoising_strength");
  }

  bool knows(const std::string& scheduler) const {
    const auto in = [&](const std::vector<std::string>& names) {
      return std::find(names.begin(), names.end(), scheduler) != names.end();
    };
    return in(model_->schedulers) || in(model_->scheduler_aliases);
  }

  // Models of flow matching have schedulers of their own for A1111's samplers.
  std::string scheduler_of(const Sampler& sampler) const {
    const auto of_flow = concat(kFlowPrefix, sampler.scheduler);
    return knows(of_flow) ? of_flow : sampler.scheduler;
  }

  void read_sampler() {
    const auto name = body_.text("sampler_name"), older = body_.text("sampler_index");
    const auto choice = find_sampler(name ? *name : older.value_or(""), body_.text("scheduler").value_or(""));
    const auto eta = body_.number("eta");
    std::string scheduler = model_->default_scheduler;
    std::tie(result_.sampler, result_.spacing) = names_of_scheduler(scheduler);
    if (choice.sampler) {
      if (choice.sampler->approximate) ignored_.insert("sampler_name");
      if (const auto own = scheduler_of(*choice.sampler); knows(own)) {
        scheduler = own;
        result_.sampler = choice.sampler->name;
        result_.spacing = kAutomaticSpacing;
      } else {
        ignored_.insert("sampler_name");
      }
    }
    if (choice.spacing) {
      const auto spaced = scheduler + choice.spacing->suffix;
      const bool can = choice.spacing->honoured && knows(spaced);
      can ? scheduler = spaced : *ignored_.insert("scheduler").first;
      if (can) result_.spacing = choice.spacing->label;
    }
    if (!scheduler.empty()) set("scheduler", scheduler, "sampler_name");
    const auto& with_eta = model_->eta_schedulers;
    const bool uses_eta = std::find(with_eta.begin(), with_eta.end(), scheduler) != with_eta.end();
    if (eta && uses_eta) fields_["eta"] = std::clamp(*eta, 0.0, 1.0);
  }

  // A1111 counts the layers from 1; diffusers counts the layers that are left out. SD 2.x and SDXL stop at the last but
  // one layer anyway.
  void read_clip_skip() {
    auto asked = body_.integer("clip_skip").value_or(0);
    const char* name = "clip_skip";
    const auto found = settings_.find("CLIP_stop_at_last_layers");
    if (found != settings_.end() && found->is_number()) {
      asked = static_cast<std::int64_t>(std::clamp(found->get<double>(), -1.0, 1000.0));
      name = "override_settings.CLIP_stop_at_last_layers";
    }
    if (asked <= 0) return;
    const bool is_sd1 = model_->family == "stable-diffusion" && model_->max_clip_skip <= kMostLayersOfSd1;
    auto left_out = is_sd1 ? asked - 1 : std::max<std::int64_t>(asked, 2) - 2;
    if (left_out > model_->max_clip_skip) {
      left_out = model_->max_clip_skip;
      ignored_.insert(name);
    }
    result_.clip_skip = asked;
    if (left_out > 0) fields_["clip_skip"] = left_out;
  }

  void read_size() {
    auto width = body_.integer("width").value_or(0), height = body_.integer("height").value_or(0);
    if (width <= 0 && height <= 0) return;
    if (width <= 0) width = model_->native_width;
    if (height <= 0) height = model_->native_height;
    set("size", concat(width, "x", height), "width");
    size_ = {width, height};
  }

  // A1111's hires fix. What belongs to it is inert without `enable_hr`.
  void read_hires() {
    const auto strength = body_.number("denoising_strength");
    const auto scale = body_.number("hr_scale").value_or(0);
    const auto steps = body_.integer("hr_second_pass_steps").value_or(0);
    const auto upscaler = body_.text("hr_upscaler").value_or("");
    const auto wide = body_.integer("hr_resize_x").value_or(0), high = body_.integer("hr_resize_y").value_or(0);
    const bool enabled = body_.flag("enable_hr", false);
    note_changes_of_second_pass(enabled);
    if (!enabled) return;
    const auto share = with_one_step(strength.value_or(kDefaultStrength), steps > 0 ? steps : first_steps());
    json hires = {{"upscaler", upscaler_named(upscaler)}, {"strength", share}};
    if (steps > 0) hires["steps"] = steps;
    if (wide > 0 || high > 0) {
      const auto [width, height] = first_size();
      hires["width"] = wide > 0 ? wide : high * width / height;
      hires["height"] = high > 0 ? high : wide * height / width;
    } else if (scale > 0) {
      hires["scale"] = scale;
    }
    set("hires", hires, "hr_scale");
    result_.members["hires.steps"] = "hr_second_pass_steps";
    result_.members["hires.width"] = "hr_resize_x";
    result_.members["hires.upscaler"] = "hr_upscaler";
  }

  // What A1111 may change from the first pass to the second, and easel does not. A value that changes nothing is
  // neutral: the first pass's own, or A1111's words for it, such as "Use same sampler".
  void note_changes_of_second_pass(bool enabled) {
    constexpr std::pair<const char*, const char*> kChanges[] = {{"hr_sampler_name", "sampler_name"},
                                                                {"hr_scheduler", "scheduler"},
                                                                {"hr_prompt", "prompt"},
                                                                {"hr_negative_prompt", "negative_prompt"},
                                                                {"hr_cfg", "cfg_scale"},
                                                                {"hr_distilled_cfg", "distilled_cfg_scale"},
                                                                {"hr_checkpoint_name", "model"},
                                                                {"hr_additional_modules", nullptr},
                                                                {"firstphase_width", nullptr},
                                                                {"firstphase_height", nullptr}};
    for (const auto& [name, of_first] : kChanges) {
      const auto* value = body_.find(name);
      if (!enabled || !value || is_neutral(*value)) continue;
      const auto text = (value->is_array() ? value->front() : *value).dump();
      const auto* first = of_first ? body_.find(of_first) : nullptr;
      if (text.starts_with("\"Use same") || (first && *first == *value)) continue;
      ignored_.insert(name);
    }
  }

  std::pair<std::int64_t, std::int64_t> first_size() const {
    if (size_.first > 0) return size_;
    return {model_->native_width, model_->native_height};
  }

  // Without a name, A1111's first one. A model that upscales has its id as its name.
  std::string upscaler_named(const std::string& name) const {
    if (name.empty()) return "Latent";
    if (name == "None") return "Lanczos";
    const auto is_name = [&](const HiresUpscalerName& row) { return row.name == name; };
    const auto is_model = [&](const ModelDescription& model) { return model.id == name && model.upscale_factor > 0; };
    if (std::any_of(std::begin(kHiresUpscalers), std::end(kHiresUpscalers), is_name)) return name;
    if (std::any_of(context_.models.begin(), context_.models.end(), is_model)) return name;
    throw HttpFailure({.status = 404,
                       .message = concat("Upscaler not found: ", quote(name), "; GET /sdapi/v1/upscalers and ",
                                         "/sdapi/v1/latent-upscale-modes list the names."),
                       .param = "hr_upscaler",
                       .code = "Upscaler not found"});
  }

  // Images to start from have no second pass.
  void note_hires() {
    for (const char* name : {"hr_scale", "hr_upscaler", "hr_second_pass_steps", "hr_resize_x", "hr_resize_y"}) {
      static_cast<void>(body_.find(name));
    }
    note_changes_of_second_pass(/*enabled=*/false);
    if (body_.flag("enable_hr", false)) ignored_.insert("enable_hr");
  }

  void read_images() {
    result_.task = ImageTask::kEdit;
    const auto most = static_cast<std::size_t>(std::max<std::int64_t>(1, model_->max_input_images));
    SourceImages sources{.limits = context_.options, .width = size_.first, .height = size_.second, .most = most};
    const auto resize_mode = body_.integer("resize_mode").value_or(0);
    if (resize_mode >= 2) ignored_.insert("resize_mode");
    sources.crop = resize_mode == 1;
    sources.inverted = body_.integer("inpainting_mask_invert").value_or(0) != 0;
    const auto* images = body_.find("init_images");
    const auto* mask = body_.find("mask");
    sources.read(images, mask && !is_neutral(*mask) ? mask : nullptr, result_.upload);
    if (images->size() > most) ignored_.insert("init_images");
    read_inpainting(result_.upload.mask.has_value());
  }

  void read_inpainting(bool masked) {
    const auto fill = body_.integer("inpainting_fill").value_or(1);
    const auto padding = body_.integer("inpaint_full_res_padding").value_or(32);
    const bool only_masked = body_.flag("inpaint_full_res", true);
    const auto blur = body_.number("mask_blur").value_or(kDefaultMaskBlur);
    static_cast<void>(body_.find("mask_round"));
    for (const char* name : {"mask_blur_x", "mask_blur_y"}) {
      const auto along_axis = body_.number(name).value_or(0);
      const bool differs = along_axis != 0 && along_axis != blur && along_axis != kDefaultMaskBlur;
      if (masked && differs) ignored_.insert(name);
    }
    if (!masked) return;
    if (fill != 1) ignored_.insert("inpainting_fill");
    if (only_masked) set("padding_mask_crop", padding, "inpaint_full_res_padding");
    if (blur > 0) set("mask_blur", static_cast<std::int64_t>(blur), "mask_blur");
  }

  void note_what_is_left() {
    for (const auto& member : members()) {
      if (has_no_effect(member)) static_cast<void>(body_.find(member.name));
    }
    if (from_image_) note_hires();
    for (const auto& name : body_.unread()) ignored_.insert(name);
    for (const auto& [name, value] : settings_.items()) {
      const bool read = name == "sd_model_checkpoint" || name == "CLIP_stop_at_last_layers";
      const bool automatic = name == "sd_vae" && (value == "Automatic" || value == "None" || value == "automatic");
      if (!read && !automatic && !is_neutral(value)) ignored_.insert("override_settings." + name);
    }
  }

  Body body_;
  const bool from_image_;
  const TranslationContext& context_;
  const ModelDescription* model_ = nullptr;
  json settings_ = json::object();
  json fields_;
  std::pair<std::int64_t, std::int64_t> size_{0, 0};
  std::set<std::string> ignored_;
  Translation result_;
};

}  // namespace

Translation translate(const json& body, bool from_image, const TranslationContext& context) {
  return Translator(body, from_image, context).run();
}

const ModelDescription& model_titled(const std::string& title, const TranslationContext& context) {
  const auto name = title.substr(0, title.find(" ["));
  try {
    return resolve_model(context.models, name, context.options);
  } catch (const HttpFailure& failure) {
    auto error = failure.error();
    error.status = 404;
    throw HttpFailure(std::move(error));
  }
}

}  // namespace easel::http::sdapi
